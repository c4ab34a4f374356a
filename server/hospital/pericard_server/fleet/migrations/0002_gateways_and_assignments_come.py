from typing import Any

import django.db.models.deletion
from django.db import migrations, models


def take_over_invitations(apps: Any, editor: Any) -> None:
    """The app was called `enrolment`: a database of that time has its invitations in a table of that name."""
    connection = editor.connection
    with connection.cursor() as cursor:
        if "enrolment_invited" not in connection.introspection.table_names(cursor):
            return
        columns = "token_hash, gateway, ends_at, used_by"
        cursor.execute(f"INSERT INTO fleet_invited ({columns}) SELECT {columns} FROM enrolment_invited")  # noqa: S608
        cursor.execute("DROP TABLE enrolment_invited")
        cursor.execute("DELETE FROM django_migrations WHERE app = 'enrolment'")


class Migration(migrations.Migration):
    """Gateways and assignments come from the app `records`, which has renamed their tables already."""

    dependencies = [
        ("fleet", "0001_initial"),
        ("records", "0002_gateways_and_assignments_leave"),
    ]

    operations = [
        migrations.RunPython(take_over_invitations, migrations.RunPython.noop, elidable=False),
        migrations.SeparateDatabaseAndState(
            state_operations=[
                migrations.CreateModel(
                    name="Gateway",
                    fields=[
                        ("name", models.CharField(max_length=64, primary_key=True, serialize=False)),
                        ("verifying_key", models.BinaryField()),
                        ("registered_at", models.DateTimeField(auto_now_add=True)),
                        ("revoked_at", models.DateTimeField(null=True)),
                    ],
                ),
                migrations.CreateModel(
                    name="Assignment",
                    fields=[
                        (
                            "id",
                            models.BigAutoField(
                                auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                            ),
                        ),
                        ("device", models.BigIntegerField()),
                        ("since", models.DateTimeField()),
                        ("until", models.DateTimeField(null=True)),
                        (
                            "patient",
                            models.ForeignKey(
                                on_delete=django.db.models.deletion.PROTECT,
                                related_name="assignments",
                                to="records.patient",
                            ),
                        ),
                    ],
                    options={
                        "constraints": [
                            models.UniqueConstraint(
                                condition=models.Q(("until", None)),
                                fields=("device",),
                                name="one_open_assignment_per_device",
                            )
                        ],
                    },
                ),
            ],
        ),
    ]
