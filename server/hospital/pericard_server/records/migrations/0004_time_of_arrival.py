from django.db import migrations, models


class Migration(migrations.Migration):
    """When a frame arrived is not known of older rows: their seals bind no such time, and stay as they are."""

    dependencies = [
        ("records", "0003_access_to_quarantine"),
    ]

    operations = [
        migrations.AddField(
            model_name="reading",
            name="arrived_at_us",
            field=models.BigIntegerField(null=True),
        ),
    ]
