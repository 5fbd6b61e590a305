"""Where the transcoder and protobuf for Python differ on purpose: each with its reason, and as narrow as it can be told.

"Python" is a quirk of the json_format module, which reads by means of Python's own json, int() and float(); "upb" one of
the library below it.
"""

import json
import math
import re
import struct

LONG_VARINT = re.compile(rb"[\x80-\xff]{9}[\x02-\x7f]", re.S)
# below it floats have fewer digits than Python prints of them
SMALLEST_FLOAT = 2.0**-126
LOST_ENTRIES = "print: upb moves an entry of a map to the unknown fields if it has an unknown field"
UNKNOWN_KEY = "print: in an entry that is unknown by its value of a closed enum upb does not look at the key; we do"


def meant(what, name, payload, ours, theirs):
    """Why this difference is meant; None if it is not. `ours` and `theirs` are whether it was taken, and the result or
    the reason; `what` was asked is `guard`, `print...` or `json...`."""
    reads = what.startswith("json")
    if ours[0] and theirs[0]:
        return other_message(what, payload) if reads else other_text(name, payload)
    if ours[0]:
        return wider_read(theirs[1], payload) if reads else None
    reason = ours[1].decode()
    if not reads and "a varint is cut short or too long" in reason and LONG_VARINT.search(payload):
        return "wire: upb takes varints of more than 64 bits and drops the upper ones; we, Go and prost refuse them"
    if not reads and name == "u.Sets" and "a tag has no valid field number" in reason and b"\x0b" in payload:
        return "wire: upb skips a field with the number 0 in an item of a set of extensions; we refuse it, as everywhere"
    if what == "guard":
        return stricter_guard(reason)
    return stricter_read(reason, payload, what) if reads else stricter_print(reason, theirs[1])


def stricter_guard(reason):
    return {
        "Required": "guard: a required field is missing, which Python's reader leaves to whoever serializes",
        "WireType": "guard: a known field of another wire type, which readers skip as unknown",
        "EnumValue": "guard: a number that a closed enum does not have, which readers keep as unknown",
    }.get(reason.split(":")[0])


def is_no_text(ours):
    return not ours[0] and "is not UTF-8" in ours[1].decode()


def stricter_print(reason, theirs):
    if "is not UTF-8" in reason and "b'" in theirs or 'b\\"' in theirs:
        return "print: a string that need not be UTF-8 and is not has no JSON form; Python prints its own notation of bytes"
    return None


def stricter_read(reason, payload, what):
    def has(pattern):
        return re.search(pattern, payload, re.I)

    if re.search(r'"\s*[+-]?[0-9_]+\s*" is no value of', reason):
        return "read: Python takes the number of an enum value in a string"
    if "the name or the number of an enum value, found a boolean" in reason:
        return "read: Python takes a boolean for the number of an enum value"
    if re.search("(not a whole number|out of range) for an enum", reason):
        return "read: Python cuts the number of an enum value to an integer, and upb to 32 bits"
    if "out of range for float" in reason and has(rb"[0-9]{39}"):
        return "read: Python makes infinity of a whole number that is too large for a float"
    if "out of range for double" in reason and has(rb"e\+?[34]"):
        return "read: Python makes infinity of a number that is too large for a google.protobuf.Value"
    if re.search("expected a number, found a boolean", reason):
        return "read: Python takes a boolean for a float"
    if "not a number for" in reason and has(rb'"[^"]*(inf|nan|infinity|[0-9 _+.])[^"]*"'):
        return 'read: Python takes in strings what int() and float() know ("inf", "nan", "1_0", " 1", "+1", "01", ".5")'
    if re.search("expected an object, found (a string|an array)", reason):
        return "read: Python takes strings and arrays for objects whose names are their elements"
    if what == "json-ignoring" and "half of a surrogate pair" in reason:
        return "read: Python does not look into the strings of members that are ignored"
    if "not a duration" in reason and has(rb'"-?[0-9]+\.s"'):
        return "read: Python takes a duration with a point and no digits behind it"
    if "not base64" in reason:
        return "read: Python passes over what is not of base64's alphabet, and takes both alphabets mixed"
    if re.search(r"expected (a value|a number|a whole number|.*)$", reason) and has(rb"NaN|Infinity"):
        return "read: Python takes NaN and Infinity without quotes"
    if "no such field" in reason and has(rb"\[[a-z0-9_.]*\]"):
        return "read: Python takes for the name of an extension in a message set whatever is behind its last point"
    return None


def wider_read(reason, payload):
    if re.search("Invalid enum value [+-]?[0-9]+ for enum type", reason):
        return "read: Python takes the number of an enum value in a string, which we ignore as an unknown name"
    if "does not have extensions" in reason:
        return "read: Python does not ignore names of extensions of messages that cannot have any"
    if "duplicate key" in reason:
        return "read: Python refuses a name that comes twice among ignored members as well"
    if "Float value too large" in reason and re.search(rb"3\.4028235e\+?38", payload, re.I):
        return "read: Python refuses the text of the largest float, unless it has all its digits"
    return None


def other_message(what, payload):
    """Both have read it, and not as the same."""
    if re.search(rb"(^|[\[:,\s])-0([\s,\]}]|$)", payload):
        return "read: -0 is the integer 0 to Python"
    if what == "json-ignoring" and re.search(rb'"\s*[+-]?[0-9_]+\s*"', payload):
        return "read: Python takes the number of an enum value in a string, which we then ignore as an unknown name"
    if what == "json-ignoring" and re.search(rb'"\[[a-z0-9_.]*\]"', payload, re.I):
        return "read: Python takes for the name of an extension in a message set whatever is behind its last point"
    return None


def other_text(name, payload):
    if name == "u.Sets" and payload.count(b"\x10\xe8\x07") > 1:
        return "print: of an extension that comes twice in a message set upb keeps the last one; we merge both, like C++"
    return None


def parsed_json(text):
    # Python would read -0 as the integer 0
    return json.loads(text, parse_int=lambda digits: -0.0 if digits == "-0" else int(digits))


def same_json(one, other):
    """Whether two values are the same; numbers as doubles, or as floats if they are too small for all digits of one."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same_json(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same_json, one, other))
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, (int, float)) and isinstance(other, (int, float)):
        if 0 < abs(one) < SMALLEST_FLOAT:
            return struct.pack("<f", one) == struct.pack("<f", other)
        return one == other and math.copysign(1, one) == math.copysign(1, other)
    return one == other
