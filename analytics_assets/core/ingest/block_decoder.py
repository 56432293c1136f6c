"""Compiled scanning of whole blocks of regular records, and writing them as CSV rows.

Put here: the two compiled loops (`scan`, `write_rows`) and their tables. Keep out: anything about irregular records:
`scan` stops in front of them and ``scanner.py`` takes over; the decision what is regular is all that both share.

A record is regular when it is an object in strict JSON (RFC 8259, valid UTF-8, nesting within the limit), each known key
occurs once, the columns have the types of ``EVENT_CHUNKS`` or are null, and it has a uuid, an event type and a time. A
regular record gives the same row here as by way of ijson and ``records.Normalizer``; a property test holds both
against each other.
"""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from analytics_assets.core.ingest.decoding import AFTER_COMMA, AFTER_ELEMENT, DONE, IRREGULAR, NEED_MORE, TOP_LEVEL
from analytics_assets.core.ingest.limits import MAX_DEPTH
from analytics_assets.core.ingest.records import SOURCE_FIELDS
from analytics_assets.schemas import EVENT_CHUNKS, NESTED_COLUMNS

MAX_NUMBER_BYTES = 200
"""A longer number goes to the reference: below it no number leaves a double's range (exponents have two digits)."""

_COLUMNS = EVENT_CHUNKS.column_names
N_COLUMNS = len(_COLUMNS)
_TEXT, _INTEGER, _TIME, _NESTED, _IGNORED = 0, 1, 2, 3, 4
_KINDS = np.array(
    [
        _NESTED if c.name in NESTED_COLUMNS else {"string": _TEXT, "int64": _INTEGER, "timestamp": _TIME}[c.type]
        for c in EVENT_CHUNKS.columns
    ],
    dtype=np.int64,
)

_KEYS = sorted(SOURCE_FIELDS)
_N_KEYS = len(_KEYS)
_KEY_SIZE = 32
_KEY_BYTES = np.zeros((_N_KEYS, _KEY_SIZE), dtype=np.uint8)
_KEY_LENGTHS = np.array([len(key) for key in _KEYS], dtype=np.int64)
for _place, _key in enumerate(_KEYS):
    _KEY_BYTES[_place, : len(_key)] = np.frombuffer(_key.encode("ascii"), dtype=np.uint8)
_KEY_WORDS = _KEY_BYTES.view("<u8")
_KEY_COLUMN = np.array([_COLUMNS.index(key) if key in _COLUMNS else -1 for key in _KEYS], dtype=np.int64)

_EVENT_TYPE, _UUID, _UPLOADED = (_COLUMNS.index(n) for n in ("event_type", "uuid", "server_upload_time"))
_EVENT_TIME, _CLIENT_TIME, _SERVER_TIME = (
    _COLUMNS.index(n) for n in ("event_time", "client_event_time", "server_received_time")
)

# Classes of bytes inside a string: 0 plain, 1 quote, 2 backslash, 3 control character, 4 lead or tail of UTF-8.
_STRING_CLASS = np.zeros(256, dtype=np.uint8)
_STRING_CLASS[0x22], _STRING_CLASS[0x5C] = 1, 2
_STRING_CLASS[:0x20] = 3
_STRING_CLASS[0x80:] = 4

_BLANK = np.zeros(256, dtype=np.bool_)
_BLANK[[0x20, 0x09, 0x0A, 0x0D]] = True

_HEX = np.full(256, 255, dtype=np.uint8)
for _digit, _character in enumerate(b"0123456789abcdef"):
    _HEX[_character] = _digit
    _HEX[ord(chr(_character).upper())] = _digit

_C1, _C2 = np.uint64(0x87C37B91114253D5), np.uint64(0x4CF5AD432745937F)
_M1, _M2 = np.uint64(0xFF51AFD7ED558CCD), np.uint64(0xC4CEB9FE1A85EC53)
_U0, _U1, _U8 = np.uint64(0), np.uint64(1), np.uint64(8)
_U31, _U33 = np.uint64(31), np.uint64(33)

_ONES, _HIGHS = np.uint64(0x0101010101010101), np.uint64(0x8080808080808080)
_QUOTES, _ESCAPES, _SPACES = np.uint64(0x2222222222222222), np.uint64(0x5C5C5C5C5C5C5C5C), np.uint64(0x2020202020202020)

_MORE, _ODD = -1, -2  # results in place of a position


@intrinsic
def _word(typingctx, array, place):
    """The eight bytes from `place` on as a little-endian word."""

    def generate(context, builder, signature, arguments):
        view = context.make_array(signature.args[0])(context, builder, arguments[0])
        pointer = builder.gep(view.data, [arguments[1]])
        word = builder.load(builder.bitcast(pointer, ir.IntType(64).as_pointer()))
        word.align = 1
        return word

    return types.uint64(array, types.int64), generate


@intrinsic
def _lowest(typingctx, word):
    """Number of zero bits below the lowest one bit."""

    def generate(context, builder, signature, arguments):
        return builder.cttz(arguments[0], cgutils.true_bit)

    return types.int64(types.uint64), generate


@njit(cache=True, nogil=True, inline="always")
def _mix(value):
    value ^= value >> _U33
    value *= _M1
    value ^= value >> _U33
    value *= _M2
    value ^= value >> _U33
    return value


@njit(cache=True, nogil=True)
def _hash(buf, start, end, seed):
    """128-bit hash of bytes (MurmurHash3's mixing): equal bytes and seed give equal pairs."""
    a = seed * _C1 + np.uint64(end - start)
    b = seed ^ _C2
    i = start
    while i + 8 <= end:
        w = _word(buf, i)
        a = (a ^ w) * _C1
        a ^= a >> _U31
        b = (b + w) * _C2
        b ^= b >> _U33
        i += 8
    # The bytes after the end are cut off.
    w = _word(buf, i) & ((_U1 << np.uint64(8 * (end - i))) - _U1)
    a = (a ^ w) * _C1
    a ^= a >> _U31
    b = (b + w) * _C2
    b ^= b >> _U33
    a += b
    b += a
    return _mix(a), _mix(b)


@njit(cache=True, nogil=True)
def _utf8_end(buf, i, end):
    """Place after the UTF-8 sequence at `i` (RFC 3629: no overlong forms, no surrogates, up to U+10FFFF)."""
    lead = buf[i]
    if lead < 0xC2 or lead > 0xF4:
        return _ODD
    size = 2 if lead < 0xE0 else (3 if lead < 0xF0 else 4)
    if i + size > end:
        return _MORE
    second = buf[i + 1]
    low, high = 0x80, 0xBF
    if lead == 0xE0:
        low = 0xA0
    elif lead == 0xED:
        high = 0x9F
    elif lead == 0xF0:
        low = 0x90
    elif lead == 0xF4:
        high = 0x8F
    if second < low or second > high:
        return _ODD
    for k in range(2, size):
        if buf[i + k] & 0xC0 != 0x80:
            return _ODD
    return i + size


@njit(cache=True, nogil=True)
def _string_end(buf, i, end):
    """Place after the closing quote of the string whose first character is at `i`, and whether it has escapes."""
    escaped = False
    while i < end:
        w = _word(buf, i)
        quote, escape = w ^ _QUOTES, w ^ _ESCAPES
        found = (((quote - _ONES) & ~quote) | ((escape - _ONES) & ~escape) | ((w - _SPACES) & ~w) | w) & _HIGHS
        if found == _U0:
            i += 8
            continue
        i += _lowest(found) >> 3
        if i >= end:
            return _MORE, escaped
        kind = _STRING_CLASS[buf[i]]
        if kind == 1:
            return i + 1, escaped
        elif kind == 2:
            escaped = True
            if i + 1 >= end:
                return _MORE, escaped
            code = buf[i + 1]
            if code == 0x75:  # u
                if i + 6 > end:
                    return _MORE, escaped
                first, second = _HEX[buf[i + 2]], _HEX[buf[i + 3]]
                if first == 255 or second == 255 or _HEX[buf[i + 4]] == 255 or _HEX[buf[i + 5]] == 255:
                    return _ODD, escaped
                if first == 0xD and second >= 8:  # surrogate
                    return _ODD, escaped
                i += 6
            elif (
                code == 0x22
                or code == 0x5C
                or code == 0x2F
                or code == 0x62
                or code == 0x66
                or code == 0x6E
                or code == 0x72
                or code == 0x74
            ):
                i += 2
            else:
                return _ODD, escaped
        elif kind == 3:
            return _ODD, escaped
        else:
            i = _utf8_end(buf, i, end)
            if i < 0:
                return i, escaped
    return _MORE, escaped


@njit(cache=True, nogil=True)
def _number_end(buf, i, end):
    """Place after the number at `i`, and whether it is an integer."""
    start = i
    if buf[i] == 0x2D:
        i += 1
        if i >= end:
            return _MORE, False
    if buf[i] == 0x30:
        i += 1
    elif 0x31 <= buf[i] <= 0x39:
        while i < end and 0x30 <= buf[i] <= 0x39:
            i += 1
    else:
        return _ODD, False
    integer = True
    if i < end and buf[i] == 0x2E:
        integer = False
        i += 1
        if i >= end:
            return _MORE, False
        if not 0x30 <= buf[i] <= 0x39:
            return _ODD, False
        while i < end and 0x30 <= buf[i] <= 0x39:
            i += 1
    if i < end and (buf[i] == 0x65 or buf[i] == 0x45):
        integer = False
        i += 1
        if i < end and (buf[i] == 0x2B or buf[i] == 0x2D):
            i += 1
        if i >= end:
            return _MORE, False
        digits = i
        while i < end and 0x30 <= buf[i] <= 0x39:
            i += 1
        if i == digits or i - digits > 2:
            return _ODD, False
    if i >= end:
        return _MORE, False
    return (i if i - start <= MAX_NUMBER_BYTES else _ODD), integer


@njit(cache=True, nogil=True)
def _word_end(buf, i, end):
    """Place after true, false or null."""
    first = buf[i]
    size = 5 if first == 0x66 else 4
    if i + size > end:
        return _MORE
    if first == 0x6E:
        right = buf[i + 1] == 0x75 and buf[i + 2] == 0x6C and buf[i + 3] == 0x6C
    elif first == 0x74:
        right = buf[i + 1] == 0x72 and buf[i + 2] == 0x75 and buf[i + 3] == 0x65
    else:
        right = (
            first == 0x66 and buf[i + 1] == 0x61 and buf[i + 2] == 0x6C and buf[i + 3] == 0x73 and buf[i + 4] == 0x65
        )
    return i + size if right else _ODD


@njit(cache=True, nogil=True)
def _nested_end(buf, i, end):
    """Place after the object or array at `i` (inside a record), and whether it holds blanks between tokens."""
    # One bit per open bracket, the innermost lowest: 1 for an object.
    stack = _U0
    depth = 0
    blanks = False
    expect_key = False  # what may come: a key, else a value
    may_close = False
    while True:
        # one value, or the key before it
        while i < end and buf[i] <= 0x20 and _BLANK[buf[i]]:
            blanks = True
            i += 1
        if i >= end:
            return _MORE, blanks
        byte = buf[i]
        closing = False
        if may_close and (byte == 0x5D or byte == 0x7D):
            closing = True
        elif expect_key:
            if byte != 0x22:
                return _ODD, blanks
            i, _ = _string_end(buf, i + 1, end)
            if i < 0:
                return i, blanks
            while i < end and buf[i] <= 0x20 and _BLANK[buf[i]]:
                blanks = True
                i += 1
            if i >= end:
                return _MORE, blanks
            if buf[i] != 0x3A:
                return _ODD, blanks
            i += 1
            expect_key = False
            may_close = False
            continue
        elif byte == 0x22:
            i, _ = _string_end(buf, i + 1, end)
        elif byte == 0x7B or byte == 0x5B:
            depth += 1
            if depth >= MAX_DEPTH:  # the record itself is one level
                return _ODD, blanks
            stack = (stack << _U1) | (_U1 if byte == 0x7B else _U0)
            expect_key = byte == 0x7B
            may_close = True
            i += 1
            continue
        elif byte == 0x2D or 0x30 <= byte <= 0x39:
            i, _ = _number_end(buf, i, end)
        else:
            i = _word_end(buf, i, end)
        if i < 0:
            return i, blanks
        # after a value: a comma, or brackets that close
        while True:
            while i < end and buf[i] <= 0x20 and _BLANK[buf[i]]:
                blanks = True
                i += 1
            if i >= end:
                return _MORE, blanks
            byte = buf[i]
            inside_object = stack & _U1 == _U1
            if byte == 0x2C and not closing:
                i += 1
                expect_key = inside_object
                may_close = False
                break
            if byte != (0x7D if inside_object else 0x5D):
                return _ODD, blanks
            closing = False
            i += 1
            depth -= 1
            stack >>= _U1
            if depth == 0:
                return i, blanks


@njit(cache=True, nogil=True)
def _two(buf, i):
    """Two decimal digits, or a number over 99."""
    a, b = np.int64(buf[i]) - 48, np.int64(buf[i + 1]) - 48
    if a < 0 or a > 9 or b < 0 or b > 9:
        return np.int64(1000)
    return a * 10 + b


@njit(cache=True, nogil=True)
def _time_of(buf, i, end):
    """Read the time between `i` and `end`: 0 odd, 1 canonical, 2 readable otherwise; and its microseconds from 1970."""
    size = end - i
    if size < 19:
        return 0, np.int64(0)
    century, year2, month, day = _two(buf, i), _two(buf, i + 2), _two(buf, i + 5), _two(buf, i + 8)
    hour, minute, second = _two(buf, i + 11), _two(buf, i + 14), _two(buf, i + 17)
    if century > 99 or year2 > 99 or month < 1 or month > 12 or day < 1 or hour > 23 or minute > 59 or second > 59:
        return 0, np.int64(0)
    if buf[i + 4] != 0x2D or buf[i + 7] != 0x2D or buf[i + 13] != 0x3A or buf[i + 16] != 0x3A:
        return 0, np.int64(0)
    if buf[i + 10] != 0x20 and buf[i + 10] != 0x54:
        return 0, np.int64(0)
    year = century * 100 + year2
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    longest = 31
    if month == 4 or month == 6 or month == 9 or month == 11:
        longest = 30
    elif month == 2:
        longest = 29 if leap else 28
    if year < 1 or day > longest:
        return 0, np.int64(0)
    at = i + 19
    fraction, digits = np.int64(0), 0
    if at < end and buf[at] == 0x2E:
        at += 1
        while at < end and 0x30 <= buf[at] <= 0x39:
            if digits < 6:
                fraction = fraction * 10 + (np.int64(buf[at]) - 48)
            digits += 1
            at += 1
        if digits == 0 or digits > 9:
            return 0, np.int64(0)
        for _ in range(digits, 6):
            fraction *= 10
    canonical = digits == 6 and at == end and buf[i + 10] == 0x20
    if at < end:
        zulu = end - at == 1 and buf[at] == 0x5A
        offset = (
            end - at == 6
            and buf[at] == 0x2B
            and buf[at + 1] == 0x30
            and buf[at + 2] == 0x30
            and buf[at + 3] == 0x3A
            and buf[at + 4] == 0x30
            and buf[at + 5] == 0x30
        )
        if not zulu and not offset:
            return 0, np.int64(0)
    # Days from 1970-01-01, proleptic Gregorian: years start in March, so the leap day is the last of its year.
    y = year - 1 if month <= 2 else year
    era = y // 400
    of_era = y - era * 400
    of_year = (153 * (month + (-3 if month > 2 else 9)) + 2) // 5 + day - 1
    days = era * 146_097 + of_era * 365 + of_era // 4 - of_era // 100 + of_year - 719_468
    seconds = days * 86_400 + hour * 3_600 + minute * 60 + second
    return (1 if canonical else 2), seconds * 1_000_000 + fraction


@njit(cache=True, nogil=True)
def _minify(buf, start, end, out, at):
    """Copy JSON text without the blanks between its tokens; the place after the copy."""
    i = start
    while i < end:
        byte = buf[i]
        if byte == 0x22:
            after, _ = _string_end(buf, i + 1, end)
            for k in range(i, after):
                out[at] = buf[k]
                at += 1
            i = after
        else:
            if not _BLANK[byte]:
                out[at] = byte
                at += 1
            i += 1
    return at


@njit(cache=True, nogil=True)
def _is_key(buf, start, key):
    """Whether the known key and a quote stand at `start`."""
    size = _KEY_LENGTHS[key]
    k = 0
    while k + 8 <= size:
        if _word(buf, start + k) != _KEY_WORDS[key, k >> 3]:
            return False
        k += 8
    rest = (_U1 << np.uint64(8 * (size - k))) - _U1
    return _word(buf, start + k) & rest == _KEY_WORDS[key, k >> 3] and buf[start + size] == 0x22


@njit(cache=True, nogil=True)
def _known_key(buf, start, size):
    """Index of a known key, -1 for others."""
    for key in range(_N_KEYS):
        if _KEY_LENGTHS[key] == size and _is_key(buf, start, key):
            return key
    return -1


@njit(cache=True, nogil=True)
def _record_end(
    buf, i, end, max_record, row, tokens, special, keys, digests, uploaded, unknown, n_unknown, scratch, order, coerced
):
    """Read the object at `i` into row `row` of the batch; the place after it, and the number of unknown keys so far."""
    start = i
    seen = _U0
    mask = np.uint32(0)
    sum_a, sum_b = _U0, _U0
    n_keys, first_unknown = 0, n_unknown
    for column in range(N_COLUMNS):
        tokens[row, column, 1] = 0
    has_time = False
    uploaded[row] = np.iinfo(np.int64).max
    i += 1
    while True:
        while i < end and buf[i] <= 0x20 and _BLANK[buf[i]]:
            i += 1
        if i >= end:
            return _MORE, first_unknown
        if buf[i] != 0x22:
            return _ODD, first_unknown  # "}" of an empty object has no event type
        key_start = i + 1
        # Records of one export have their keys in one order: what followed last time is tried first.
        key = order[n_keys] if n_keys < order.shape[0] else -1
        if key >= 0 and key_start + _KEY_LENGTHS[key] < end and _is_key(buf, key_start, key):
            key_size = _KEY_LENGTHS[key]
            i = key_start + key_size + 1
        else:
            i, escaped = _string_end(buf, key_start, end)
            if i < 0:
                return i, first_unknown
            if escaped:
                return _ODD, first_unknown
            key_size = i - 1 - key_start
            key = _known_key(buf, key_start, key_size)
        if n_keys < order.shape[0]:
            order[n_keys] = key
        n_keys += 1
        column = -1
        if key >= 0:
            bit = _U1 << np.uint64(key)
            if seen & bit != _U0:
                return _ODD, first_unknown
            seen |= bit
            column = _KEY_COLUMN[key]
            seed_a, seed_b = np.uint64(key + 1), np.uint64(key + 1)
        else:
            for other in range(first_unknown, n_unknown):
                if unknown[other, 1] == key_size:
                    k = 0
                    while k < key_size and buf[key_start + k] == buf[unknown[other, 0] + k]:
                        k += 1
                    if k == key_size:
                        return _ODD, first_unknown
            if n_unknown >= unknown.shape[0] or n_unknown - first_unknown >= 64:
                return _ODD, first_unknown
            unknown[n_unknown, 0] = key_start
            unknown[n_unknown, 1] = key_size
            n_unknown += 1
            seed_a, seed_b = _hash(buf, key_start, key_start + key_size, _U0)
        while i < end and buf[i] <= 0x20 and _BLANK[buf[i]]:
            i += 1
        if i >= end:
            return _MORE, first_unknown
        if buf[i] != 0x3A:
            return _ODD, first_unknown
        i += 1
        while i < end and buf[i] <= 0x20 and _BLANK[buf[i]]:
            i += 1
        if i >= end:
            return _MORE, first_unknown
        value = i
        byte = buf[i]
        kind = _KINDS[column] if column >= 0 else _IGNORED
        if byte == 0x22:
            i, escaped = _string_end(buf, i + 1, end)
            if i < 0:
                return i, first_unknown
            if column >= 0:
                if kind == _INTEGER or kind == _NESTED:
                    return _ODD, first_unknown
                if kind == _TIME:
                    if escaped:
                        return _ODD, first_unknown
                    spelling, moment = _time_of(buf, value + 1, i - 1)
                    if spelling == 0:
                        return _ODD, first_unknown
                    if spelling == 2:
                        mask |= np.uint32(1) << np.uint32(column)
                    if column == _UPLOADED:
                        uploaded[row] = moment
                    if column == _EVENT_TIME or column == _CLIENT_TIME or column == _SERVER_TIME:
                        has_time = True
                elif escaped:
                    if column == _UUID:
                        return _ODD, first_unknown
                    k = value + 1
                    while k < i - 1:
                        if buf[k] == 0x5C:
                            # \\N is the null mark, \u00XX may spell any ASCII character: left to the reference.
                            if buf[k + 1] == 0x5C and i - value == 5:
                                return _ODD, first_unknown
                            if buf[k + 1] == 0x75 and buf[k + 2] == 0x30 and buf[k + 3] == 0x30 and buf[k + 4] < 0x38:
                                return _ODD, first_unknown
                            k += 1
                        k += 1
                    mask |= np.uint32(1) << np.uint32(column)
                tokens[row, column, 0] = value
                tokens[row, column, 1] = i - value
            a, b = _hash(buf, value, i, seed_a)
        elif byte == 0x7B or byte == 0x5B:
            i, blanks = _nested_end(buf, i, end)
            if i < 0:
                return i, first_unknown
            if column >= 0:
                if kind != _NESTED:
                    return _ODD, first_unknown
                tokens[row, column, 0] = value
                tokens[row, column, 1] = i - value
                if blanks:
                    mask |= np.uint32(1) << np.uint32(column)
            if blanks:
                if i - value + 8 > scratch.shape[0]:
                    return _ODD, first_unknown
                size = _minify(buf, value, i, scratch, 0)
                a, b = _hash(scratch, 0, size, seed_a)
            else:
                a, b = _hash(buf, value, i, seed_a)
        elif byte == 0x6E:
            i = _word_end(buf, i, end)
            if i < 0:
                return i, first_unknown
            a, b = _mix(seed_a), _mix(seed_a ^ _C2)
        elif byte == 0x2D or 0x30 <= byte <= 0x39:
            i, integer = _number_end(buf, i, end)
            if i < 0:
                return i, first_unknown
            if column >= 0:
                if kind != _INTEGER or not integer or i - value > 18 or (byte == 0x2D and buf[value + 1] == 0x30):
                    return _ODD, first_unknown
                tokens[row, column, 0] = value
                tokens[row, column, 1] = i - value
            a, b = _hash(buf, value, i, seed_a)
        else:
            i = _word_end(buf, i, end)
            if i < 0:
                return i, first_unknown
            if column >= 0:
                return _ODD, first_unknown
            a, b = _hash(buf, value, i, seed_a)
        sum_a += a
        sum_b += b ^ seed_b
        while i < end and buf[i] <= 0x20 and _BLANK[buf[i]]:
            i += 1
        if i >= end:
            return _MORE, first_unknown
        if buf[i] == 0x2C:
            i += 1
            continue
        if buf[i] != 0x7D:
            return _ODD, first_unknown
        i += 1
        break
    if i - start > max_record or not has_time:
        return _ODD, first_unknown
    uuid, uuid_end = tokens[row, _UUID, 0] + 1, tokens[row, _UUID, 0] + tokens[row, _UUID, 1] - 1
    if tokens[row, _UUID, 1] < 3:
        return _ODD, first_unknown
    visible = False
    for k in range(tokens[row, _EVENT_TYPE, 0] + 1, tokens[row, _EVENT_TYPE, 0] + tokens[row, _EVENT_TYPE, 1] - 1):
        if 0x21 <= buf[k] <= 0x7E and buf[k] != 0x5C:
            visible = True
            break
    if not visible or (mask >> np.uint32(_EVENT_TYPE)) & np.uint32(1):
        return _ODD, first_unknown
    special[row] = mask
    keys[row, 0], keys[row, 1] = _hash(buf, uuid, uuid_end, _U1)
    digests[row, 0], digests[row, 1] = sum_a, sum_b
    for column in range(N_COLUMNS):
        if (mask >> np.uint32(column)) & np.uint32(1) and _KINDS[column] == _TIME:
            coerced[column] += 1
    return i, n_unknown


@njit(cache=True, nogil=True)
def scan(
    buf,
    start,
    stop,
    end,
    state,
    max_record,
    spans,
    tokens,
    special,
    keys,
    digests,
    uploaded,
    unknown,
    scratch,
    order,
    coerced,
    result,
):
    """Read regular records that begin before `stop`."""
    i, n, n_unknown, separators = start, 0, 0, 0
    code = DONE
    while n < spans.shape[0]:
        blank = i
        while i < end and buf[i] <= 0x20 and _BLANK[buf[i]]:
            i += 1
        separators += i - blank
        if i >= end:
            code = NEED_MORE
            break
        if state == AFTER_ELEMENT:
            if buf[i] != 0x2C:
                code = IRREGULAR
                break
            i += 1
            separators += 1
            state = AFTER_COMMA
            continue
        if i >= stop:
            break
        if buf[i] != 0x7B:
            code = IRREGULAR
            break
        if n_unknown > unknown.shape[0] - 64:
            break
        after, n_unknown = _record_end(
            buf,
            i,
            end,
            max_record,
            n,
            tokens,
            special,
            keys,
            digests,
            uploaded,
            unknown,
            n_unknown,
            scratch,
            order,
            coerced,
        )
        if after < 0:
            code = NEED_MORE if after == _MORE else IRREGULAR
            break
        spans[n, 0] = i
        spans[n, 1] = after
        n += 1
        i = after
        if state != TOP_LEVEL:
            state = AFTER_ELEMENT
    result[0], result[1], result[2], result[3], result[4], result[5] = i, n, code, state, separators, n_unknown


@njit(cache=True, nogil=True)
def find_entries(buf, n, tokens, columns, slots, slot_entry, known, entry_of, missing):
    """Look up the values of some columns in a hash table; new ones get the next entries and are listed.

    Returns the number of known values and of new ones; `missing` holds the record and the place of each new one.
    """
    mask = slots.shape[0] - 1
    new = 0
    for row in range(n):
        for place in range(columns.shape[0]):
            start, size = np.int64(tokens[row, columns[place], 0]), np.int64(tokens[row, columns[place], 1])
            if size == 0:
                entry_of[row, place] = -1
                continue
            a, b = _hash(buf, start, start + size, np.uint64(place + 1))
            slot = np.int64(a & np.uint64(mask))
            while slot_entry[slot] >= 0 and (slots[slot, 0] != a or slots[slot, 1] != b):
                slot = (slot + 1) & mask
            if slot_entry[slot] < 0:
                slots[slot, 0], slots[slot, 1] = a, b
                slot_entry[slot] = known
                known += 1
                missing[new, 0], missing[new, 1] = row, place
                new += 1
            entry_of[row, place] = slot_entry[slot]
    return known, new


@njit(cache=True, nogil=True)
def hash_bytes(buf, size):
    """Hash of the first `size` bytes as the keys of `scan` have it; `buf` is padded by eight bytes."""
    return _hash(buf, 0, size, _U1)


@njit(cache=True, nogil=True)
def _unescape(buf, start, end, out, at):
    """Write the characters of a JSON string (without its quotes) as a quoted CSV field; the place after it."""
    out[at] = 0x22
    at += 1
    i = start
    while i < end:
        byte = buf[i]
        if byte != 0x5C:
            out[at] = byte
            at += 1
            i += 1
            continue
        code = buf[i + 1]
        i += 2
        if code == 0x75:
            point = (
                (np.int64(_HEX[buf[i]]) << 12)
                | (np.int64(_HEX[buf[i + 1]]) << 8)
                | (np.int64(_HEX[buf[i + 2]]) << 4)
                | np.int64(_HEX[buf[i + 3]])
            )
            i += 4
            if point < 0x800:
                out[at] = 0xC0 | (point >> 6)
                at += 1
            else:
                out[at] = 0xE0 | (point >> 12)
                out[at + 1] = 0x80 | ((point >> 6) & 0x3F)
                at += 2
            out[at] = 0x80 | (point & 0x3F)
            at += 1
            continue
        if code == 0x62:
            code = 0x08
        elif code == 0x66:
            code = 0x0C
        elif code == 0x6E:
            code = 0x0A
        elif code == 0x72:
            code = 0x0D
        elif code == 0x74:
            code = 0x09
        elif code == 0x22:
            out[at] = 0x22
            at += 1
        out[at] = code
        at += 1
    out[at] = 0x22
    return at + 1


@njit(cache=True, nogil=True)
def write_rows(buf, n, tokens, special, places, entry_of, actions, texts, skip, out, row_ends):
    """Write rows as CSV; the number of bytes."""
    at = 0
    for row in range(n):
        if skip[row]:
            row_ends[row] = at
            continue
        mask = special[row]
        for column in range(N_COLUMNS):
            if column:
                out[at] = 0x2C
                at += 1
            start, size = np.int64(tokens[row, column, 0]), np.int64(tokens[row, column, 1])
            end = start + size
            kind = _KINDS[column]
            odd = (mask >> np.uint32(column)) & np.uint32(1)
            if size == 0:
                out[at], out[at + 1], out[at + 2], out[at + 3] = 0x22, 0x5C, 0x4E, 0x22
                at += 4
                continue
            place = places[column]
            if place >= 0 and actions[entry_of[row, place]] == 0:
                entry = entry_of[row, place]
                out[at] = 0x22
                at += 1
                for k in range(texts.shape[1]):
                    out[at] = texts[entry, k]
                    at += 1
                out[at] = 0x22
                at += 1
            elif kind == _TEXT:
                if odd:
                    at = _unescape(buf, start + 1, end - 1, out, at)
                else:
                    for k in range(start, end):
                        out[at] = buf[k]
                        at += 1
            elif kind == _INTEGER:
                out[at] = 0x22
                at += 1
                for k in range(start, end):
                    out[at] = buf[k]
                    at += 1
                out[at] = 0x22
                at += 1
            elif kind == _TIME:
                if not odd:
                    for k in range(start, end):
                        out[at] = buf[k]
                        at += 1
                else:
                    for k in range(20):
                        out[at + k] = buf[start + k]
                    out[at + 11] = 0x20
                    at += 20
                    out[at] = 0x2E
                    at += 1
                    digits = 0
                    if buf[start + 20] == 0x2E:
                        k = start + 21
                        while digits < 6 and 0x30 <= buf[k] <= 0x39:
                            out[at] = buf[k]
                            at += 1
                            k += 1
                            digits += 1
                    while digits < 6:
                        out[at] = 0x30
                        at += 1
                        digits += 1
                    out[at] = 0x22
                    at += 1
            else:
                out[at] = 0x22
                at += 1
                inside = False
                k = start
                while k < end:
                    byte = buf[k]
                    if byte == 0x22:
                        inside = not inside
                        out[at] = 0x22
                        out[at + 1] = 0x22
                        at += 2
                    elif byte == 0x5C:
                        out[at] = 0x5C
                        at += 1
                        k += 1
                        out[at] = buf[k]
                        at += 1
                        if buf[k] == 0x22:
                            out[at] = 0x22
                            at += 1
                    elif inside or not odd or not _BLANK[byte]:
                        out[at] = byte
                        at += 1
                    k += 1
                out[at] = 0x22
                at += 1
        out[at] = 0x0A
        at += 1
        row_ends[row] = at
    return at
