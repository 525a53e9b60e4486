"""Transport options on top of one another: what is not named again stays as it was."""

from tidegate.broker.address import parse_address, with_options


def test_an_option_on_the_command_line_leaves_the_applications_others_alone():
    of_the_app = {"sep": ":", "unacked_key": "held", "unacked_index_key": "held_index", "visibility_timeout": 60}
    address = with_options(parse_address("redis://localhost/0", of_the_app), {"global_keyprefix": "shop_"})
    layout = address.layout
    assert (layout.prefix, layout.sep, layout.unacked, layout.unacked_index) == ("shop_", ":", "held", "held_index")
    assert address.visibility_timeout_s == 60
