"""What schemathesis has to know besides the OpenAPI of the demo's bookstore.

With SERVICE=1 rules that the service alone judges, and says in comments only, are laid over the document: without them its
refusals of good data would be taken for the edge's. Nothing is taken away from what the document says. That is for good
data; what is bad data by these rules may well be good to the edge, so that bad data is made without them.
"""

import json
import os

import schemathesis

# what the demo's upstream takes (src/demo/upstream): as keywords for parameters by name
PARAMETERS = {
    "pageSize": {"minimum": 0},
    "limit": {"minimum": 0},
    "count": {"minimum": 0, "maximum": 3},
    "after": {"minimum": 0},
    "pageToken": {"enum": ["", "1", "2"]},
    "orderBy": {"enum": ["", "title", "rating desc", "publish_time", "title desc"]},
    "bookId": {"pattern": "^[a-z]{4,12}$"},
    "readMask": {"enum": ["", "title", "name,price.units", "labels"]},
    "updateMask": {"enum": ["", "title", "rating,labels", "edition"]},
}
PROPERTIES = {
    "theme": {"maxLength": 60},
    "title": {"maxLength": 60},
    "limit": {"minimum": 0},
    "etag": {"enum": [""]},
    "destination": {"enum": ["shelves/1", "shelves/2"]},
}
# so that most paths lead somewhere
PLACES = {"shelf": ["1", "2", "3"], "book": ["1", "2", "3"], "path_rest": ["covers/a.txt", "b"]}


@schemathesis.hook
def before_load_schema(context, raw_schema):
    if "SERVICE" not in os.environ:
        return
    for operations in raw_schema["paths"].values():
        for operation in operations.values():
            for parameter in operation.get("parameters", ()):
                name, place = parameter["name"], parameter["in"]
                if place == "query" and name in PARAMETERS:
                    parameter["schema"].update(PARAMETERS[name])
                if place == "path" and name in PLACES:
                    known = {"type": "string", "enum": PLACES[name]}
                    parameter["schema"] = {"anyOf": [known, known, parameter["schema"]]}
            for content in operation.get("requestBody", {}).get("content", {}).values():
                narrow(content.get("schema", {}))
    for name, schema in raw_schema["components"]["schemas"].items():
        if name.endswith(("-input", "Request")):
            narrow(schema)


def narrow(schema):
    for name, property in schema.get("properties", {}).items():
        property.update(PROPERTIES.get(name, {}))


@schemathesis.hook
def filter_case(context, case):
    """ProtoJSON has to read more than it writes. Bad data by the document alone is none."""
    return not (case.meta and case.meta.generation.mode.is_negative and is_read_all_the_same(case.body))


def is_read_all_the_same(value, name=""):
    """`null` is a field that is not there, values of enums may be numbers, and blanks are no body."""
    if isinstance(value, (bytes, str)) and not name:
        return not value.strip()
    if isinstance(value, dict):
        return any(is_read_all_the_same(member, name) for name, member in value.items())
    if isinstance(value, list):
        return any(is_read_all_the_same(item, name) for item in value)
    return value is None or (name in ("genre", "genres") and type(value) is int)


@schemathesis.deserializer("application/x-ndjson")
def lines(context, response):
    """The first message of a stream: the schema is that of one."""
    text = response.content.decode("utf-8")
    return json.loads(text.splitlines()[0]) if text else None


@schemathesis.deserializer("text/event-stream")
def events(context, response):
    """The same of events."""
    found = [line[6:] for line in response.content.decode("utf-8").splitlines() if line.startswith("data: ")]
    return json.loads(found[0]) if found else None


@schemathesis.deserializer("application/json-seq")
def sequence(context, response):
    """The same of a sequence."""
    records = response.content.split(b"\x1e")[1:]
    return json.loads(records[0]) if records else None


@schemathesis.deserializer("application/vnd.transom.length-prefixed-json")
def lengths(context, response):
    """The same behind its length."""
    length, _, rest = response.content.partition(b"\n")
    return json.loads(rest[: int(length)]) if length else None
