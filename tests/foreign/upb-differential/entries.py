"""Messages without what makes upb lose entries of maps.

upb moves an entry of a map that has an unknown field, or a known one of another wire type, to the unknown fields of the
message, where every other reader takes the entry and skips the field. Without those fields both must be of one opinion
again, and ours must not change.
"""

from google.protobuf import descriptor

VARINT, FIXED64, BYTES, GROUP, END, FIXED32 = range(6)
F = descriptor.FieldDescriptor
WIRE_TYPES = {F.TYPE_STRING: BYTES, F.TYPE_BYTES: BYTES, F.TYPE_MESSAGE: BYTES, F.TYPE_DOUBLE: FIXED64,
              F.TYPE_FIXED64: FIXED64, F.TYPE_SFIXED64: FIXED64, F.TYPE_FLOAT: FIXED32, F.TYPE_FIXED32: FIXED32,
              F.TYPE_SFIXED32: FIXED32}
ANY = "google.protobuf.Any"


class Malformed(Exception):
    """The bytes are no message; what is done with those is asked elsewhere."""


def without_strangers(pool, descriptor, payload):
    """The message without the unknown fields of the entries of its maps; the same bytes if there are none, or if it cannot
    be read."""
    return walked(Walk(pool), descriptor, payload)


def without_unknown(pool, descriptor, payload):
    """The message without those fields, and without the entries that a number makes unknown which a closed enum does not
    have."""
    return walked(Walk(pool, drop_unknown=True), descriptor, payload)


def walked(walk, descriptor, payload):
    try:
        return walk.message(descriptor, payload)
    except Malformed:
        return payload


class Walk:
    def __init__(self, pool, drop_unknown=False):
        self.pool, self.drop_unknown = pool, drop_unknown

    def message(self, descriptor, payload, merged=None):
        """`merged`: all parts of the message, if this is one of several."""
        merged = payload if merged is None else merged
        content = self.content(descriptor, merged)
        out = bytearray()
        for number, wire, start, inside, end in records(payload):
            if descriptor.GetOptions().map_entry and not in_entry(descriptor, number, wire):
                continue
            inner = content(number)
            if inner is None or wire not in (BYTES, GROUP):
                out += payload[start:end]
                continue
            begin, close = bounds(payload, wire, inside, end)
            old = payload[begin:close]
            if self.drop_unknown and is_unknown(inner, old):
                continue
            try:
                new = self.message(inner, old, parts_of(merged, number) if self.merges(descriptor, number) else old)
            except Malformed:
                # the value of an Any that is none of its type, but displaced by another
                new = old
            if new == old:
                # keeps its bytes, a length in a longer form among them
                out += payload[start:end]
            elif wire == GROUP:
                out += payload[start:begin] + new + payload[close:end]
            else:
                out += payload[start:inside] + varint_of(len(new)) + new
        return bytes(out)

    def merges(self, descriptor, number):
        """Whether what comes twice in a field is one message."""
        field = self.field(descriptor, number)
        return field is not None and field.message_type is not None and not field.is_repeated

    def field(self, descriptor, number):
        field = descriptor.fields_by_number.get(number)
        if field is None and descriptor.is_extendable:
            try:
                return self.pool.FindExtensionByNumber(descriptor, number)
            except KeyError:
                return None
        return field

    def content(self, descriptor, payload):
        """Which message a field holds, by its number; None for all others."""
        if descriptor.full_name == ANY:
            return self.content_of_any(payload)

        def known(number):
            field = self.field(descriptor, number)
            return field.message_type if field else None

        return known

    def content_of_any(self, payload):
        name = None
        for number, wire, _, inside, end in records(payload):
            if number == 1 and wire == BYTES:
                name = payload[varint(payload, inside)[1]:end].decode("utf-8", "replace").split("/")[-1]
        try:
            inner = self.pool.FindMessageTypeByName(name) if name else None
        except KeyError:
            inner = None
        return lambda number: inner if number == 2 else None


def in_entry(descriptor, number, wire):
    """Whether this is the key or the value of an entry."""
    field = descriptor.fields_by_number.get(number)
    return field is not None and wire == WIRE_TYPES.get(field.type, VARINT)


def is_unknown(descriptor, payload):
    """Whether this is an entry whose value is none of its closed enum's."""
    value = descriptor.fields_by_number.get(2)
    if not (descriptor.GetOptions().map_entry and value.enum_type and value.enum_type.is_closed):
        return False
    numbers = [varint(payload, inside)[0] for number, wire, _, inside, _ in records(payload) if (number, wire) == (2, VARINT)]
    known = [number & 0xffffffff for number in value.enum_type.values_by_number]
    return bool(numbers) and not any(number & 0xffffffff in known for number in numbers)


def records(payload):
    """Number, wire type, and where its tag, its content and the next one begin, of each field."""
    at = 0
    while at < len(payload):
        start = at
        tag, inside = varint(payload, at)
        at = after(payload, tag & 7, inside)
        yield tag >> 3, tag & 7, start, inside, at


def bounds(payload, wire, inside, end):
    """Where the message begins and ends that a field holds."""
    if wire == BYTES:
        return varint(payload, inside)[1], end
    at = inside
    while True:
        tag, begin = varint(payload, at)
        if tag & 7 == END:
            return inside, at
        at = after(payload, tag & 7, begin)


def parts_of(payload, number):
    """All that a message holds in a field, one behind the other."""
    found = [bounds(payload, wire, inside, end) for n, wire, _, inside, end in records(payload)
             if n == number and wire in (BYTES, GROUP)]
    return b"".join(payload[begin:close] for begin, close in found)


def after(payload, wire, at):
    """Where a field ends whose content begins at `at`."""
    if wire == VARINT:
        return varint(payload, at)[1]
    if wire == BYTES:
        length, at = varint(payload, at)
        at += length
    elif wire in (FIXED32, FIXED64):
        at += 4 if wire == FIXED32 else 8
    elif wire == GROUP:
        while True:
            tag, at = varint(payload, at)
            if tag & 7 == END:
                return at
            at = after(payload, tag & 7, at)
    else:
        raise Malformed
    if at > len(payload):
        raise Malformed
    return at


def varint(payload, at):
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(payload):
            raise Malformed
        byte = payload[at]
        at += 1
        value |= (byte & 0x7f) << shift
        if byte < 0x80:
            return value, at
    raise Malformed


def varint_of(value):
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7f | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
