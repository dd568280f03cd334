-- The name that newer configurations have for mod_audit_register. It records nothing itself, so that with both enabled
-- each event of an account is recorded once.

module:depends("audit_register");
