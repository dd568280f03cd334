"""Parses the command's output as its readers would: validate.py FORMAT FILE [SCHEMA]

Prints how many entries there were, and what is wrong with them; ends with status 1 if anything is.
"""

import csv
import io
import json
import re
import sys
import unicodedata
from xml.etree import ElementTree

import jsonschema
from ocsf_json_schema import OcsfJsonSchemaEmbedded, get_ocsf_schema

problems = []


def problem(entry, text):
    problems.append("entry %s: %s" % (entry, text[:300]))


def objects(text):
    for number, line in enumerate(text.split("\n")[:-1], 1):
        yield number, json.loads(line)


def check(validator, number, thing):
    for error in validator.iter_errors(thing):
        problem(number, "%s: %s" % (error.json_path, error.message))


def read_json(text, schema):
    with open(schema, encoding="utf-8") as file:
        described = json.load(file)
    jsonschema.Draft202012Validator.check_schema(described)
    validator = jsonschema.Draft202012Validator(described, format_checker=jsonschema.FormatChecker())
    count = 0
    for count, thing in objects(text):
        check(validator, count, thing)
    return count


def read_ocsf(text):
    schema = OcsfJsonSchemaEmbedded(get_ocsf_schema("1.8.0"))
    validators, count, classes = {}, 0, set()
    for count, thing in objects(text):
        uid = thing["class_uid"]
        if uid not in validators:
            name = schema.lookup_class_name_from_uid(uid)
            validators[uid] = jsonschema.Draft202012Validator(schema.get_class_schema(name))
        classes.add(uid)
        check(validators[uid], count, thing)
        if thing["metadata"]["version"] != "1.8.0" or thing["type_uid"] != uid * 100 + thing["activity_id"]:
            problem(count, "version or type_uid")
    print("classes:", *sorted(classes))
    return count


def read_ecs(text):
    count = 0
    for count, thing in objects(text):
        for name in ("@timestamp", "ecs", "event", "message", "service"):
            if name not in thing and name != "message":
                problem(count, "no " + name)
        if thing["ecs"]["version"] != "8.17.0" or thing["event"]["kind"] != "event":
            problem(count, "ecs or event")
    return count


def read_csv(text):
    rows = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    for number, row in enumerate(rows[1:], 1):
        if len(row) != len(rows[0]):
            problem(number, "%d cells" % len(row))
        for cell in row:
            if cell.startswith(("=", "+", "-", "@", "\t", "\r")):
                problem(number, "a formula: " + cell)
    return len(rows) - 1


def read_xml(text):
    log = ElementTree.fromstring(text.encode())
    for number, entry in enumerate(log, 1):
        if entry.tag != "entry" or len(entry) != 1 or entry[0].tag != "audit-event":
            problem(number, ElementTree.tostring(entry, "unicode"))
    return len(log)


def read_cef(text):
    lines = text.split("\n")[:-1]
    for number, line in enumerate(lines, 1):
        if not re.fullmatch(r"CEF:0(\|([^|\\]|\\[\\|])*){6}\|rt=\d+( \w+=([^=\\]|\\[=\\nr])*)*", line):
            problem(number, line)
    return len(lines)


def read_syslog(text):
    parameter = r' [!#-<>-\\^-~]{1,32}="([^"\\\]]|\\["\\\]])*"'
    element = r"\[[!#-<>-\\^-~]{1,32}(%s)*\]" % parameter
    message = r"<\d{1,3}>1 \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z [!-~]{1,255} [!-~]{1,48} [!-~]{1,128} [!-~]{1,32} (%s)+( .*)?" % element
    lines = text.split("\n")[:-1]
    for number, line in enumerate(lines, 1):
        if not re.fullmatch(message, line):
            problem(number, line)
    return len(lines)


def main():
    form, path = sys.argv[1:3]
    with open(path, encoding="utf-8", newline="") as file:
        text = file.read()
    for character in set(text):
        if unicodedata.category(character) in ("Cc", "Cf", "Zl", "Zp") and character not in ("\r\n\t" if form == "xml" else "\r\n"):
            problem("?", "the character U+%04X" % ord(character))
    if form == "json":
        count = read_json(text, sys.argv[3])
    else:
        count = globals()["read_" + form](text)
    print("entries:", count)
    for line in problems[:20]:
        print(line)
    sys.exit(1 if problems else 0)


main()
