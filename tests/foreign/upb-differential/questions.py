"""Random messages of the schemas, as wire bytes and as JSON, and ways to damage both."""

import json
import random
import struct

from google.protobuf import descriptor, json_format

F = descriptor.FieldDescriptor
INTEGERS = {
    F.CPPTYPE_INT32: (-(1 << 31), (1 << 31) - 1),
    F.CPPTYPE_INT64: (-(1 << 63), (1 << 63) - 1),
    F.CPPTYPE_UINT32: (0, (1 << 32) - 1),
    F.CPPTYPE_UINT64: (0, (1 << 64) - 1),
}
TEXTS = ["", "a", "B", "0", " ", '"', "\\", "\n", "\x01", "\x7f", "é", "€", "😀", "/", "<", "null", "zz zz zz zz zz", "\u2028"]
DOUBLES = [0.0, -0.0, 1.0, 0.1, 1e21, 1e-7, 5e-324, 1.7976931348623157e308, 123456789012345680.0, float("nan"),
           float("inf"), float("-inf")]
# what stands in JSON in place of something else
TOKENS = ["null", "true", "false", "0", "-0", "1", "-1", "1.0", "1.5", "1e2", "1E+2", "1e-2", "100e-2", "2147483647",
          "2147483648", "-2147483648", "-2147483649", "4294967295", "4294967296", "9223372036854775807",
          "9223372036854775808", "-9223372036854775808", "18446744073709551615", "18446744073709551616", "1e400", "3.5e38",
          "3.4028235e38", "01", "+1", "1.", ".5", "-", "0x1", "NaN", "Infinity", "[]", "{}", "[null]", "[[]]", '""', '"0"',
          '"-0"', '"1"', '"1.0"', '"1e2"', '"01"', '"+1"', '" 1"', '"1 "', '"0x1"', '"1.5"', '"NaN"', '"nan"', '"Infinity"',
          '"-Infinity"', '"inf"', '"true"', '"null"', '"RED"', '"red"', '"ONE"', '"TWO"', '"OPEN_ONE"', '"CLOSED_LOW"', '"77"', '"AA=="',
          '"AA"', '"-_8"', '"+/8="', '"+_8="', '"A"', '"AB=="', '"=AA="', '"\\ud800"', '"\\udc00"', '"\\ud83d\\ude00"', '"\\u0000"',
          '"1970-01-01T00:00:00Z"', '"2024-02-29T01:02:03.004+01:00"', '"1970-01-01T00:00:60Z"', '"9999-12-31T23:59:59.999999999Z"',
          '"0001-01-01T00:00:00Z"', '"0000-01-01T00:00:00Z"', '"1s"', '"-1.5s"', '"0.000000001s"', '"-0.5s"', '"315576000000s"',
          '"315576000001s"', '"1.s"', '".5s"', '"1"', '"a.fooBar,b"', '"foo_bar"', '"a,,b"', '"Foo"']
KNOWN_URLS = ["google.protobuf.Duration", "google.protobuf.Value", "google.protobuf.StringValue", "google.protobuf.Empty",
              "google.protobuf.FieldMask", "google.protobuf.Any", "google.protobuf.Int64Value", "google.protobuf.Timestamp",
              "google.protobuf.Struct", "t.Author", "t.Book", "u.Old", "e.Modern", "e.Mixed", "no.Such"]


class Questions:
    def __init__(self, seed, pool, classes):
        self.dice, self.pool, self.classes = random.Random(seed), pool, classes

    def text(self):
        return "".join(self.dice.choice(TEXTS) for _ in range(self.dice.choice([0, 1, 1, 2, 3, 8])))

    def bytes(self):
        return self.dice.randbytes(self.dice.choice([0, 1, 2, 3, 4, 9]))

    def double(self):
        kind = self.dice.randrange(3)
        if kind == 0:
            return self.dice.choice(DOUBLES)
        if kind == 1:
            return struct.unpack("<d", self.dice.randbytes(8))[0]
        return self.dice.randrange(-1000, 1000) / 8

    def scalar(self, field):
        kind = field.cpp_type
        if kind in INTEGERS:
            low, high = INTEGERS[kind]
            choice = self.dice.randrange(4)
            if choice == 0:
                return self.dice.choice([low, high, max(low, -1), 0, 1])
            if choice == 1:
                return min(high, max(low, self.dice.choice([-1, 1]) * self.dice.getrandbits(self.dice.randrange(1, 65))))
            return self.dice.randrange(0, 200)
        if kind == F.CPPTYPE_BOOL:
            return self.dice.random() < 0.5
        if kind == F.CPPTYPE_DOUBLE:
            return self.double()
        if kind == F.CPPTYPE_FLOAT:
            return struct.unpack("<f", self.dice.randbytes(4))[0] if self.dice.random() < 0.5 else self.dice.choice([0.0, 0.1, -1.5])
        if kind == F.CPPTYPE_ENUM:
            numbers = [value.number for value in field.enum_type.values]
            return 77 if not field.enum_type.is_closed and self.dice.random() < 0.1 else self.dice.choice(numbers)
        return self.bytes() if field.type == F.TYPE_BYTES else self.text()

    def fill(self, message, depth=0):
        """Sets some fields of a message."""
        known = message.DESCRIPTOR.full_name
        if known == "google.protobuf.Timestamp":
            message.seconds = self.dice.choice([0, 1, -1, 1700000000, -62135596800, 253402300799, 253402300800])
            message.nanos = self.dice.choice([0, 0, 1, 1000, 5000000, 999999999])
        elif known == "google.protobuf.Duration":
            message.seconds, message.nanos = self.dice.choice(
                [(0, 0), (1, 5), (-1, -500000000), (0, -1), (315576000000, 0), (7, 120000), (1, -1), (315576000001, 0)])
        elif known == "google.protobuf.FieldMask":
            message.paths.extend(self.dice.choice(["a", "foo_bar", "a.b_c", "x1"]) for _ in range(self.dice.randrange(3)))
        elif known == "google.protobuf.Any":
            self.fill_any(message, depth)
        else:
            self.fill_fields(message, depth)
        return message

    def fill_any(self, message, depth):
        name = self.dice.choice(KNOWN_URLS)
        if name in self.classes and depth < 5:
            message.type_url = self.dice.choice(["type.googleapis.com/", "x/", "http://a/b/"]) + name
            message.value = encoded(self.fill(self.classes[name](), depth + 2))

    def fill_fields(self, message, depth):
        extensions = message.DESCRIPTOR.file.pool.FindAllExtensions(message.DESCRIPTOR)
        fields = list(message.DESCRIPTOR.fields) + sorted(extensions, key=lambda field: field.number)
        share = self.dice.choice([0.1, 0.3, 0.6]) / (1 + depth)
        for field in fields:
            if not field.is_required and (self.dice.random() > share or (depth > 4 and field.message_type)):
                continue
            self.fill_field(message, field, depth)

    def fill_field(self, message, field, depth):
        value = message.Extensions[field] if field.is_extension and (field.is_repeated or field.message_type) else None
        if value is None and not field.is_extension:
            value = getattr(message, field.name)
        count = self.dice.choice([0, 1, 1, 2, 3])
        if field.message_type and field.message_type.GetOptions().map_entry:
            key, inner = (field.message_type.fields_by_name[name] for name in ("key", "value"))
            for _ in range(count):
                if inner.message_type:
                    self.fill(value[self.scalar(key)], depth + 1)
                else:
                    value[self.scalar(key)] = self.scalar(inner)
        elif field.is_repeated:
            for _ in range(count):
                if field.message_type:
                    self.fill(value.add(), depth + 1)
                else:
                    value.append(self.scalar(field))
        elif field.message_type:
            value.SetInParent()
            self.fill(value, depth + 1)
        elif field.is_extension:
            message.Extensions[field] = self.scalar(field)
        else:
            setattr(message, field.name, self.scalar(field))

    # === on the wire ===

    def wire(self, name):
        """An encoded message, perhaps of parts that are to be merged, perhaps damaged."""
        parts = [encoded(self.fill(self.classes[name]())) for _ in range(self.dice.choice([1, 1, 2, 3]))]
        wire = b"".join(parts)
        if self.dice.random() < 0.3:
            wire = self.shuffled(wire)
        if self.dice.random() < 0.5:
            wire = self.damaged(wire)
        return wire

    def shuffled(self, wire):
        fields, at = [], 0
        while at < len(wire):
            end = end_of_field(wire, at)
            if end is None:
                return wire
            fields.append(wire[at:end])
            at = end
        self.dice.shuffle(fields)
        return b"".join(fields)

    def damaged(self, wire):
        data = bytearray(wire)
        for _ in range(self.dice.choice([1, 1, 1, 2, 4])):
            if not data:
                return bytes(data)
            at, kind = self.dice.randrange(len(data)), self.dice.randrange(7)
            if kind == 0:
                data[at] = self.dice.randrange(256)
            elif kind == 1:
                data[at] ^= 1 << self.dice.randrange(8)
            elif kind == 2:
                del data[at:]
            elif kind == 3:
                data.insert(at, self.dice.randrange(256))
            elif kind == 4:
                del data[at]
            elif kind == 5:
                end = min(len(data), at + self.dice.randrange(1, 9))
                data[at:at] = data[at:end]
            else:
                data[at:at] = self.dice.choice([b"\x00", b"\x80\x00", b"\xff" * 9 + b"\x01", b"\xff" * 10, b"\x0b\x0c", b"\x0c", b"\xf8\x3f\x01"])
        return bytes(data)

    # === as JSON ===

    def json(self, name):
        """A message as text, perhaps damaged."""
        message = self.fill(self.classes[name]())
        try:
            value = json.loads(json_format.MessageToJson(
                message, preserving_proto_field_name=self.dice.random() < 0.3, use_integers_for_enums=self.dice.random() < 0.2))
        except Exception:  # what has no JSON form is not to be asked about
            value = {}
        text = json.dumps(self.reordered(value), ensure_ascii=self.dice.random() < 0.5, indent=self.dice.choice([None, None, 1]))
        return self.damaged_text(text) if self.dice.random() < 0.8 else text.encode()

    def reordered(self, value):
        """The same with the members of objects in an order that hangs on nothing but the dice."""
        if isinstance(value, list):
            return [self.reordered(element) for element in value]
        if not isinstance(value, dict):
            return value
        names = sorted(value)
        self.dice.shuffle(names)
        return {name: self.reordered(value[name]) for name in names}

    def damaged_text(self, text):
        for _ in range(self.dice.choice([1, 1, 2, 3])):
            tokens = tokens_of(text)
            at, kind = self.dice.randrange(len(tokens)), self.dice.randrange(8)
            if kind <= 3:
                values = [i for i, token in enumerate(tokens) if token.strip() not in ("", ":", ",", "{", "}", "[", "]")]
                at = self.dice.choice(values) if values else at
                tokens[at] = self.dice.choice(TOKENS)
            elif kind == 4:
                del tokens[at]
            elif kind == 5:
                tokens.insert(at, self.dice.choice(tokens))
            elif kind == 6:
                other = self.dice.randrange(len(tokens))
                tokens[at], tokens[other] = tokens[other], tokens[at]
            else:
                token = bytearray(tokens[at].encode("utf-8", "surrogatepass"))
                if token:
                    token[self.dice.randrange(len(token))] = self.dice.randrange(256)
                tokens[at] = token.decode("utf-8", "surrogateescape")
            text = "".join(tokens) or " "
        return text.encode("utf-8", "surrogateescape")


def encoded(message):
    """The order of a map's entries in memory differs from run to run; equal seeds are to make equal questions."""
    return message.SerializePartialToString(deterministic=True)


def tokens_of(text):
    """JSON's tokens; what is none stands for itself."""
    tokens, at = [], 0
    while at < len(text):
        end = at + 1
        if text[at] == '"':
            while end < len(text) and text[end] != '"':
                end += 2 if text[end] == "\\" else 1
            end = min(end + 1, len(text))
        elif text[at] in "-+.0123456789" or text[at].isalpha():
            while end < len(text) and (text[end] in "-+." or text[end].isalnum()):
                end += 1
        tokens.append(text[at:end])
        at = end
    return tokens


def varint(wire, at):
    value = shift = 0
    while at < len(wire) and shift < 70:
        value |= (wire[at] & 127) << shift
        shift += 7
        at += 1
        if wire[at - 1] < 128:
            return value, at
    return None, at


def end_of_field(wire, at):
    """Where a field ends that begins here; None if it does not."""
    tag, at = varint(wire, at)
    if tag is None:
        return None
    kind = tag & 7
    if kind == 0:
        value, at = varint(wire, at)
        return None if value is None else at
    if kind in (1, 5):
        at += 8 if kind == 1 else 4
    elif kind == 2:
        length, at = varint(wire, at)
        at = len(wire) + 1 if length is None else at + length
    elif kind == 3:
        while at < len(wire):
            inner, _ = varint(wire, at)
            end = end_of_field(wire, at)
            if inner == tag + 1 or end is None:
                return end if end is not None else varint(wire, at)[1]
            at = end
        return None
    elif kind == 4:
        return at
    else:
        return None
    return at if at <= len(wire) else None
