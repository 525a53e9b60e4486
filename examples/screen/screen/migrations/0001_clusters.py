from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True
    operations = (
        migrations.CreateModel(
            name="Cluster",
            fields=[
                (
                    "id",
                    models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID"),
                ),
                ("name", models.CharField(max_length=100, unique=True)),
                ("region", models.CharField(max_length=50)),
                ("nodes", models.PositiveIntegerField(default=3)),
            ],
            options={"ordering": ("id",)},
        ),
    )
