"""Checks a bill of materials against CycloneDX's schema; prints what is wrong with it."""
import sys

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

error = JsonStrictValidator(SchemaVersion.V1_5).validate_str(open(sys.argv[1], encoding="utf-8").read())
if error:
    print(error)
    sys.exit(1)
