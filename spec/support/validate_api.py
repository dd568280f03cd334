"""Compares answers of the interface for programs with its OpenAPI document: validate_api.py DOCUMENT ANSWERS

ANSWERS has an object in each line: path, status, type, body. Prints what is wrong, and ends with status 1 if anything is.
"""

import json
import sys

import jsonschema


def main() -> None:
    with open(sys.argv[1], encoding="utf-8") as file:
        document = json.load(file)
    problems, seen = [], set()
    for name, schema in document["components"]["schemas"].items():
        jsonschema.Draft202012Validator.check_schema(schema)
    with open(sys.argv[2], encoding="utf-8") as file:
        for line in file:
            answer = json.loads(line)
            path, status = answer["path"], str(answer["status"])
            described = document["paths"].get(path, {}).get("get", {}).get("responses", {}).get(status)
            if described is None:
                problems.append(f"{path} {status} is not described")
                continue
            seen.add((path, status))
            schema = described["content"].get(answer["type"], {}).get("schema")
            if schema is None:
                problems.append(f"{path} {status} is of the type {answer['type']}")
                continue
            schema = {**schema, "components": document["components"]}
            validator = jsonschema.Draft202012Validator(schema, format_checker=jsonschema.FormatChecker())
            for error in validator.iter_errors(json.loads(answer["body"])):
                problems.append(f"{path} {status}: {error.json_path}: {error.message[:300]}")
    for path in document["paths"]:
        for status in ("200", "401"):
            if (path, status) not in seen:
                problems.append(f"{path} was never answered with {status}")
    print("\n".join(problems))
    sys.exit(1 if problems else 0)


main()
