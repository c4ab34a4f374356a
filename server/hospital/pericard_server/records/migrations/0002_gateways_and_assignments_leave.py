from django.db import migrations


class Migration(migrations.Migration):
    """Gateways and assignments become the fleet's: their tables are renamed, and keep every row."""

    dependencies = [("records", "0001_initial")]

    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[
                migrations.AlterModelTable("Gateway", "fleet_gateway"),
                migrations.AlterModelTable("Assignment", "fleet_assignment"),
            ],
            state_operations=[
                migrations.DeleteModel("Gateway"),
                migrations.DeleteModel("Assignment"),
            ],
        )
    ]
