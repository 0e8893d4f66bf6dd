"""The audit trail can be added to and read, nothing else; the database itself refuses the rest.

TRUNCATE stays possible for the owner of the table: it is how a test database is emptied.
"""

from django.db import migrations

FORWARD = """
CREATE FUNCTION workspaces_audit_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit trail is append-only: % is refused', TG_OP USING ERRCODE = 'insufficient_privilege';
END;
$$;
CREATE TRIGGER audit_append_only BEFORE UPDATE OR DELETE ON workspaces_auditevent
    FOR EACH ROW EXECUTE FUNCTION workspaces_audit_is_append_only();
"""
BACKWARD = """
DROP TRIGGER audit_append_only ON workspaces_auditevent;
DROP FUNCTION workspaces_audit_is_append_only();
"""


class Migration(migrations.Migration):
    dependencies = [("workspaces", "0001_initial")]
    operations = [migrations.RunSQL(FORWARD, BACKWARD)]
