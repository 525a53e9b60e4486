"""WHAT WE CAN SEE: reads the broker and returns facts; holds no opinion and writes nothing."""
