"""Compiled scanning of whole blocks of regular records, and writing them as CSV rows.

Put here: loops over bytes, their tables, nothing else. The entry points are `scan`, `find_entries`, `write_rows` and
`hash_bytes`. Keep out: irregular records (`scan` stops in front of them and ``scanner.py`` takes over); arrays, threads
and pseudonyms (``decoding.py``).

A record is regular when it is an object in strict JSON (RFC 8259, valid UTF-8, nesting within the limit), each known
key occurs once, the columns have the types of ``EVENT_CHUNKS`` or are null, and it has a uuid, an event type and a
time. A regular record gives the same row here as by way of ijson and ``records.Normalizer``; a property test holds both
against each other. Whatever would take thought to get right, such as surrogates, is irregular.

How to read the functions: `i`, `start` and `end` are places in a buffer, `end` the place after its last byte. A
function named ``..._end`` reads one thing and returns the place after it; `_MORE` when the buffer ends before that
thing does, `_ODD` when it is not regular. Both are negative.

How to change them: annotations are for readers and mypy, numba infers types itself. Values that meet unsigned words
must be ``np.uint64`` themselves: numba computes uint64 with int64 in floating point. Tables and constants are compiled
in, those imported too; but what numba keeps on disk is renewed only when this file changes. So after a change of
``schemas`` or of another imported constant alone, delete ``__pycache__``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias, TypeVar, cast

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

from analytics_assets.core.ingest.decoding import (
    AFTER_COMMA,
    AFTER_ELEMENT,
    DONE,
    IRREGULAR,
    NEED_MORE,
    TOP_LEVEL,
    WRITE_PSEUDONYM,
)
from analytics_assets.core.ingest.limits import MAX_DEPTH
from analytics_assets.core.ingest.records import SOURCE_FIELDS
from analytics_assets.schemas import EVENT_CHUNKS, NESTED_COLUMNS

Bytes: TypeAlias = NDArray[np.uint8]
"""Text in UTF-8 followed by eight bytes of padding (see `_word`), or room for text."""
Flags: TypeAlias = NDArray[np.bool_]
Int32s: TypeAlias = NDArray[np.int32]
Int64s: TypeAlias = NDArray[np.int64]
Masks: TypeAlias = NDArray[np.uint32]
"""One bit per column."""
Words: TypeAlias = NDArray[np.uint64]
Hash: TypeAlias = tuple[np.uint64, np.uint64]

MAX_NUMBER_BYTES = 200
"""A longer number goes to the reference: below it no number leaves a double's range (exponents have two digits)."""

MAX_UNKNOWN_KEYS = 64
"""A record with more unknown keys goes to the reference: they are compared pair by pair."""

_MAX_INTEGER_BYTES = 18  # fits int64 whatever the digits

SPACE, TAB, NEWLINE, CARRIAGE_RETURN = 0x20, 0x09, 0x0A, 0x0D
QUOTE, BACKSLASH = 0x22, 0x5C
OPEN_BRACE, CLOSE_BRACE, OPEN_BRACKET, CLOSE_BRACKET = 0x7B, 0x7D, 0x5B, 0x5D
COMMA, COLON, DOT, PLUS, MINUS = 0x2C, 0x3A, 0x2E, 0x2B, 0x2D
ZERO, EIGHT, NINE = 0x30, 0x38, 0x39
LOWER_E, LOWER_F, LOWER_N, LOWER_U = 0x65, 0x66, 0x6E, 0x75
UPPER_E, UPPER_N, UPPER_T, UPPER_Z = 0x45, 0x4E, 0x54, 0x5A
FIRST_VISIBLE, LAST_VISIBLE = 0x21, 0x7E

_MORE, _ODD = -1, -2  # in place of a place

_COLUMNS = EVENT_CHUNKS.column_names
N_COLUMNS = len(_COLUMNS)
_TEXT, _INTEGER, _TIME, _NESTED = 0, 1, 2, 3
_KINDS: Int64s = np.array(
    [
        _NESTED if c.name in NESTED_COLUMNS else {"string": _TEXT, "int64": _INTEGER, "timestamp": _TIME}[c.type]
        for c in EVENT_CHUNKS.columns
    ],
    dtype=np.int64,
)
_EVENT_TYPE, _UUID, _UPLOADED = (_COLUMNS.index(n) for n in ("event_type", "uuid", "server_upload_time"))
_EVENT_TIME, _CLIENT_TIME, _SERVER_TIME = (
    _COLUMNS.index(n) for n in ("event_time", "client_event_time", "server_received_time")
)

# Known keys, filled up with zeros so that they compare as words; at most 64, one bit each while a record is read.
_KEYS = sorted(SOURCE_FIELDS)
_N_KEYS = len(_KEYS)
_KEY_SIZE = 32
_KEY_BYTES: Bytes = np.zeros((_N_KEYS, _KEY_SIZE), dtype=np.uint8)
_KEY_LENGTHS: Int64s = np.array([len(key) for key in _KEYS], dtype=np.int64)
for _place, _key in enumerate(_KEYS):
    _KEY_BYTES[_place, : len(_key)] = np.frombuffer(_key.encode("ascii"), dtype=np.uint8)
_KEY_WORDS: Words = _KEY_BYTES.view("<u8")
_KEY_COLUMN: Int64s = np.array([_COLUMNS.index(key) if key in _COLUMNS else -1 for key in _KEYS], dtype=np.int64)

_BLANK: Flags = np.zeros(256, dtype=np.bool_)
_BLANK[[SPACE, TAB, NEWLINE, CARRIAGE_RETURN]] = True

_NOT_HEX = 255
_HEX: Bytes = np.full(256, _NOT_HEX, dtype=np.uint8)
for _digit, _character in enumerate(b"0123456789abcdef"):
    _HEX[_character] = _digit
    _HEX[ord(chr(_character).upper())] = _digit

# What a backslash and this byte stand for, 0 for no escape; \u is apart.
_ESCAPED: Bytes = np.zeros(256, dtype=np.uint8)
for _code, _character in zip(b'"\\/bfnrt', b'"\\/\b\f\n\r\t', strict=True):
    _ESCAPED[_code] = _character

_MONTH_DAYS: Int64s = np.array([0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31], dtype=np.int64)
_NEVER = np.iinfo(np.int64).max
_NO_TIME, _CANONICAL, _READABLE = 0, 1, 2  # spellings of a time

_U0, _U1 = np.uint64(0), np.uint64(1)
_U31, _U33 = np.uint64(31), np.uint64(33)
# MurmurHash3 x64 128: the multipliers of its body and of its finalizer.
_C1, _C2 = np.uint64(0x87C37B91114253D5), np.uint64(0x4CF5AD432745937F)
_M1, _M2 = np.uint64(0xFF51AFD7ED558CCD), np.uint64(0xC4CEB9FE1A85EC53)

# Eight times the same byte.
_ONES, _HIGHS = np.uint64(0x0101010101010101), np.uint64(0x8080808080808080)
_SPACES, _QUOTES, _BACKSLASHES = _ONES * np.uint64(SPACE), _ONES * np.uint64(QUOTE), _ONES * np.uint64(BACKSLASH)

_TRUE, _FALSE, _NULL, _OFFSET_0 = (
    np.uint64(int.from_bytes(text, "little")) for text in (b"true", b"false", b"null", b"+00:00")
)

F = TypeVar("F", bound=Callable[..., Any])


def compiled(function: F) -> F:
    """Compile at the first call, keep the result on disk, run without the interpreter lock.

    A call passes each array as a bundle of seven values and counts a reference to it, which costs more than most
    functions here do. So all are inlined and compiled without numba's runtime (`_nrt`, which numba describes in
    `register_jitable`): nothing is counted, and nothing could be allocated.
    """
    compile_ = njit(cache=True, nogil=True, forceinline=True, _nrt=False)  # type: ignore[call-overload]  # not in stubs
    return cast("F", compile_(function))


@intrinsic
def _load_word(_: Any, array: Any, place: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        view = context.make_array(signature.args[0])(context, builder, arguments[0])
        pointer = builder.gep(view.data, [arguments[1]])
        word = builder.load(builder.bitcast(pointer, ir.IntType(64).as_pointer()))
        word.align = 1
        return word

    return types.uint64(array, types.int64), generate


@intrinsic
def _count_low_zeros(_: Any, word: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], cgutils.true_bit)

    return types.int64(types.uint64), generate


# The types are those in compiled code, where numba leaves out its own first argument.
_word = cast("Callable[[Bytes, int], np.uint64]", _load_word)
"""The eight bytes from a place on, the first one lowest (the byte order of x86-64 and ARM64).

Some may lie beyond `end`, which is safe: every buffer is eight bytes longer than its text (``decoding.PADDING``), no
function loads from a place after `end`, and each one ignores what it gets from there.
"""
_low_zeros = cast("Callable[[np.uint64], int]", _count_low_zeros)
"""Number of zero bits below the lowest one bit, which must exist."""


@compiled
def _low_bytes(count: int) -> np.uint64:
    """Mask of the first `count` bytes of a word, at most seven."""
    return (_U1 << np.uint64(8 * count)) - _U1


@compiled
def _mix(value: np.uint64) -> np.uint64:
    """MurmurHash3's 64-bit finalizer."""
    value ^= value >> _U33
    value *= _M1
    value ^= value >> _U33
    value *= _M2
    value ^= value >> _U33
    return value


@compiled
def _hash(buf: Bytes, start: int, end: int, seed: np.uint64) -> Hash:
    """128-bit hash of bytes: equal bytes and seed give equal pairs.

    Like MurmurHash3 it multiplies and shifts in two lanes, with its multipliers and its finalizer, but the steps are
    simpler: the values are not those of MurmurHash3. It is not cryptographic: collisions can be made on purpose.
    """
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
    w = _word(buf, i) & _low_bytes(end - i)
    a = (a ^ w) * _C1
    a ^= a >> _U31
    b = (b + w) * _C2
    b ^= b >> _U33
    a += b
    b += a
    return _mix(a), _mix(b)


@compiled
def _is_digit(byte: np.uint8) -> bool:
    return bool(ZERO <= byte <= NINE)


@compiled
def _digits_end(buf: Bytes, i: int, end: int) -> int:
    while i < end and _is_digit(buf[i]):
        i += 1
    return i


@compiled
def _blanks_end(buf: Bytes, i: int, end: int) -> int:
    # Most bytes are no blanks, which the comparison tells without a load.
    while i < end and buf[i] <= SPACE and _BLANK[buf[i]]:
        i += 1
    return i


@compiled
def _copy(buf: Bytes, start: int, end: int, out: Bytes, at: int) -> int:
    """Copy bytes to place `at` of `out`; the place after the copy."""
    for k in range(start, end):
        out[at] = buf[k]
        at += 1
    return at


@compiled
def _utf8_end(buf: Bytes, i: int, end: int) -> int:
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


@compiled
def _escape_end(buf: Bytes, i: int, end: int) -> int:
    """Place after the escape whose backslash is at `i`; surrogates are irregular."""
    if i + 1 >= end:
        return _MORE
    if buf[i + 1] != LOWER_U:
        return i + 2 if _ESCAPED[buf[i + 1]] else _ODD
    if i + 6 > end:
        return _MORE
    first, second = _HEX[buf[i + 2]], _HEX[buf[i + 3]]
    if _NOT_HEX in (first, second, _HEX[buf[i + 4]], _HEX[buf[i + 5]]):
        return _ODD
    return _ODD if first == 0xD and second >= 8 else i + 6


@compiled
def _string_end(buf: Bytes, i: int, end: int) -> tuple[int, bool]:
    """Place after the closing quote of the string whose first character is at `i`, and whether it has escapes."""
    escaped = False
    while i < end:
        # The high bit of each byte that is a quote, a backslash, a control character or not ASCII. A borrow may mark
        # further bytes, but only above the first.
        w = _word(buf, i)
        quote, escape = w ^ _QUOTES, w ^ _BACKSLASHES
        found = (((quote - _ONES) & ~quote) | ((escape - _ONES) & ~escape) | ((w - _SPACES) & ~w) | w) & _HIGHS
        if found == _U0:
            i += 8
            continue
        i += _low_zeros(found) >> 3
        if i >= end:
            break
        byte = buf[i]
        if byte == QUOTE:
            return i + 1, escaped
        if byte == BACKSLASH:
            escaped = True
            i = _escape_end(buf, i, end)
        elif byte < SPACE:
            i = _ODD
        else:
            i = _utf8_end(buf, i, end)
        if i < 0:
            return i, escaped
    return _MORE, escaped


@compiled
def _number_end(buf: Bytes, i: int, end: int) -> tuple[int, bool]:
    """Place after the number at `i`, and whether it is an integer."""
    start = i
    if buf[i] == MINUS:
        i += 1
    if i >= end:
        return _MORE, False
    if buf[i] == ZERO:
        i += 1
    elif _is_digit(buf[i]):
        i = _digits_end(buf, i, end)
    else:
        return _ODD, False
    integer = True
    if i < end and buf[i] == DOT:
        integer = False
        digits = i + 1
        i = _digits_end(buf, digits, end)
        if i == digits:
            return (_MORE if i >= end else _ODD), False
    if i < end and buf[i] in (LOWER_E, UPPER_E):
        integer = False
        i += 1
        if i < end and buf[i] in (PLUS, MINUS):
            i += 1
        if i >= end:
            return _MORE, False
        digits = i
        i = _digits_end(buf, digits, end)
        if i == digits or i - digits > 2:
            return _ODD, False
    if i >= end:
        return _MORE, False  # what follows may be more digits
    return (i if i - start <= MAX_NUMBER_BYTES else _ODD), integer


@compiled
def _literal_end(buf: Bytes, i: int, end: int) -> int:
    """Place after true, false or null."""
    size = 5 if buf[i] == LOWER_F else 4
    if i + size > end:
        return _MORE
    word = _word(buf, i) & _low_bytes(size)
    return i + size if word in (_TRUE, _NULL, _FALSE) else _ODD


@compiled
def _after_colon(buf: Bytes, i: int, end: int) -> int:
    """Place after the colon that follows `i`, maybe after blanks."""
    i = _blanks_end(buf, i, end)
    if i >= end:
        return _MORE
    return i + 1 if buf[i] == COLON else _ODD


@compiled
def _value_start(buf: Bytes, i: int, end: int) -> int:
    """Place of the value after the key that ends at `i`."""
    i = _after_colon(buf, i, end)
    if i < 0:
        return i
    i = _blanks_end(buf, i, end)
    return i if i < end else _MORE


@compiled
def _value_follower(buf: Bytes, i: int, end: int) -> int:
    """Place of the comma or closing brace after the value that ends at `i`."""
    i = _blanks_end(buf, i, end)
    if i >= end:
        return _MORE
    return i if buf[i] in (COMMA, CLOSE_BRACE) else _ODD


@compiled
def _scalar_end(buf: Bytes, i: int, end: int) -> int:
    """Place after the value at `i` that is no object or array."""
    byte = buf[i]
    if byte == QUOTE:
        i, _ = _string_end(buf, i + 1, end)
    elif byte == MINUS or _is_digit(byte):
        i, _ = _number_end(buf, i, end)
    else:
        i = _literal_end(buf, i, end)
    return i


@compiled
def _nested_key_end(buf: Bytes, i: int, end: int) -> tuple[int, bool]:
    """Place after the colon of the key at `i`, and whether there are blanks in front of the colon."""
    if buf[i] != QUOTE:
        return _ODD, False
    key_end, _ = _string_end(buf, i + 1, end)
    if key_end < 0:
        return key_end, False
    i = _after_colon(buf, key_end, end)
    return i, i > key_end + 1


@compiled
def _nested_end(buf: Bytes, i: int, end: int) -> tuple[int, bool]:
    """Place after the object or array at `i` (inside a record), and whether it holds blanks between tokens."""
    # One bit per open bracket, the innermost lowest: 1 for an object.
    stack = _U0
    depth = 0
    blanks = False
    expect_key = False
    may_close = False
    while True:
        # In front of a value, or of a key.
        place, i = i, _blanks_end(buf, i, end)
        blanks |= i > place
        if i >= end:
            return _MORE, blanks
        byte = buf[i]
        if may_close and byte in (CLOSE_BRACKET, CLOSE_BRACE):
            pass
        elif expect_key:
            i, blank = _nested_key_end(buf, i, end)
            if i < 0:
                return i, blanks
            blanks |= blank
            expect_key = may_close = False
            continue
        elif byte in (OPEN_BRACE, OPEN_BRACKET):
            depth += 1
            if depth >= MAX_DEPTH:  # the record itself is one level
                return _ODD, blanks
            expect_key = bool(byte == OPEN_BRACE)
            stack = (stack << _U1) | (_U1 if byte == OPEN_BRACE else _U0)
            may_close = True
            i += 1
            continue
        else:
            i = _scalar_end(buf, i, end)
            if i < 0:
                return i, blanks
        # After a value, or in front of the bracket that closes an empty list: a comma, or brackets that close.
        while True:
            place, i = i, _blanks_end(buf, i, end)
            blanks |= i > place
            if i >= end:
                return _MORE, blanks
            inside_object = bool(stack & _U1)
            if buf[i] == COMMA:
                i += 1
                expect_key = inside_object
                may_close = False
                break
            if buf[i] != (CLOSE_BRACE if inside_object else CLOSE_BRACKET):
                return _ODD, blanks
            i += 1
            depth -= 1
            stack >>= _U1
            if depth == 0:
                return i, blanks


@compiled
def _minify(buf: Bytes, start: int, end: int, out: Bytes) -> int:
    """Copy regular JSON without the blanks between its tokens; the size of the copy."""
    at = 0
    i = start
    while i < end:
        byte = buf[i]
        if byte == QUOTE:
            after, _ = _string_end(buf, i + 1, end)
            at = _copy(buf, i, after, out, at)
            i = after
            continue
        if not _BLANK[byte]:
            out[at] = byte
            at += 1
        i += 1
    return at


@compiled
def _two(buf: Bytes, i: int) -> int:
    """Two decimal digits, or a number over 99."""
    a, b = int(buf[i]) - ZERO, int(buf[i + 1]) - ZERO
    if a < 0 or a > 9 or b < 0 or b > 9:
        return 1000
    return a * 10 + b


@compiled
def _month_days(year: int, month: int) -> int:
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    return 29 if month == 2 and leap else int(_MONTH_DAYS[month])


@compiled
def _days_from_1970(year: int, month: int, day: int) -> int:
    # Proleptic Gregorian. Years start in March here, so the leap day is the last of its year.
    y = year - 1 if month <= 2 else year
    era = y // 400
    of_era = y - era * 400
    of_year = (153 * (month + (-3 if month > 2 else 9)) + 2) // 5 + day - 1
    return era * 146_097 + of_era * 365 + of_era // 4 - of_era // 100 + of_year - 719_468


@compiled
def _fraction(buf: Bytes, i: int, end: int) -> tuple[int, int, int]:
    """Place after the decimals that begin at `i`, their number, and the whole microseconds they stand for."""
    digits, microseconds = 0, 0
    while i < end and _is_digit(buf[i]):
        if digits < 6:
            microseconds = microseconds * 10 + (int(buf[i]) - ZERO)
        digits += 1
        i += 1
    for _ in range(digits, 6):
        microseconds *= 10
    return i, digits, microseconds


@compiled
def _is_utc(buf: Bytes, i: int, end: int) -> bool:
    """Whether the zone between `i` and `end` is Z or +00:00."""
    return bool((end - i == 1 and buf[i] == UPPER_Z) or (end - i == 6 and _word(buf, i) & _low_bytes(6) == _OFFSET_0))


@compiled
def _time_of(buf: Bytes, i: int, end: int) -> tuple[int, int]:
    """How the time between `i` and `end` is spelled, and its microseconds from 1970 (0 when it is no time)."""
    if end - i < 19:
        return _NO_TIME, 0
    if buf[i + 4] != MINUS or buf[i + 7] != MINUS or buf[i + 13] != COLON or buf[i + 16] != COLON:
        return _NO_TIME, 0
    if buf[i + 10] != SPACE and buf[i + 10] != UPPER_T:
        return _NO_TIME, 0
    century, year2, month, day = _two(buf, i), _two(buf, i + 2), _two(buf, i + 5), _two(buf, i + 8)
    hour, minute, second = _two(buf, i + 11), _two(buf, i + 14), _two(buf, i + 17)
    if century > 99 or year2 > 99 or month < 1 or month > 12 or day < 1 or hour > 23 or minute > 59 or second > 59:
        return _NO_TIME, 0
    year = century * 100 + year2
    if year < 1 or day > _month_days(year, month):
        return _NO_TIME, 0
    at, digits, fraction = i + 19, 0, 0
    if at < end and buf[at] == DOT:
        at, digits, fraction = _fraction(buf, at + 1, end)
        if digits == 0 or digits > 9:
            return _NO_TIME, 0
    if at < end and not _is_utc(buf, at, end):
        return _NO_TIME, 0
    seconds = _days_from_1970(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second
    canonical = digits == 6 and at == end and buf[i + 10] == SPACE
    return (_CANONICAL if canonical else _READABLE), seconds * 1_000_000 + fraction


@compiled
def _is_key(buf: Bytes, start: int, key: int) -> bool:
    """Whether known key number `key` and a quote stand at `start`."""
    size = int(_KEY_LENGTHS[key])
    k = 0
    while k + 8 <= size:
        if _word(buf, start + k) != _KEY_WORDS[key, k >> 3]:
            return False
        k += 8
    rest = _word(buf, start + k) & _low_bytes(size - k)
    return bool(rest == _KEY_WORDS[key, k >> 3] and buf[start + size] == QUOTE)


@compiled
def _key_start(buf: Bytes, i: int, end: int) -> int:
    """Place after the opening quote of the key that begins at `i`, or after blanks.

    An object without keys is irregular as well: it has no event type.
    """
    i = _blanks_end(buf, i, end)
    if i >= end:
        return _MORE
    return i + 1 if buf[i] == QUOTE else _ODD


@compiled
def _key_end(buf: Bytes, start: int, end: int, expected: int) -> tuple[int, int]:
    """Place after the key whose first character is at `start`, and its number among the known ones, -1 for others."""
    if expected >= 0 and start + _KEY_LENGTHS[expected] < end and _is_key(buf, start, expected):
        return start + int(_KEY_LENGTHS[expected]) + 1, expected
    i, escaped = _string_end(buf, start, end)
    if i < 0:
        return i, -1
    if escaped:
        return _ODD, -1
    for key in range(_N_KEYS):
        if _KEY_LENGTHS[key] == i - 1 - start and _is_key(buf, start, key):
            return i, key
    return i, -1


@compiled
def _note_unknown(buf: Bytes, start: int, size: int, unknown: Int32s, first: int, last: int) -> bool:
    """Note an unknown key behind those of its record (from `first` up to `last`); False for too many or a double."""
    if last >= unknown.shape[0] or last - first >= MAX_UNKNOWN_KEYS:
        return False
    for other in range(first, last):
        if unknown[other, 1] == size:
            k = 0
            while k < size and buf[start + k] == buf[unknown[other, 0] + k]:
                k += 1
            if k == size:
                return False
    unknown[last, 0], unknown[last, 1] = start, size
    return True


@compiled
def _needs_reference(buf: Bytes, start: int, end: int) -> bool:
    r"""Whether a text with escapes may be a mark in disguise: ``\\N`` is null, ``\u00XX`` may spell any ASCII."""
    k = start
    while k < end:
        if buf[k] == BACKSLASH:
            if buf[k + 1] == BACKSLASH and end - start == 3:
                return True
            if buf[k + 1] == LOWER_U and buf[k + 2] == ZERO and buf[k + 3] == ZERO and buf[k + 4] < EIGHT:
                return True
            k += 1
        k += 1
    return False


@compiled
def _string_value(buf: Bytes, value: int, end: int, column: int, row: int, uploaded: Int64s) -> tuple[int, bool]:
    """Place after the string at `value`, which is the value of `column`, and whether it needs rewriting."""
    i, escaped = _string_end(buf, value + 1, end)
    if i < 0 or column < 0:
        return i, False
    kind = _KINDS[column]
    if kind == _TIME and not escaped:
        spelling, moment = _time_of(buf, value + 1, i - 1)
        if column == _UPLOADED:
            uploaded[row] = moment
        return (_ODD if spelling == _NO_TIME else i), spelling == _READABLE
    if kind != _TEXT:
        return _ODD, False
    if escaped and (column == _UUID or _needs_reference(buf, value + 1, i - 1)):
        return _ODD, False
    return i, escaped


@compiled
def _number_value(buf: Bytes, value: int, end: int, column: int) -> int:
    """Place after the number at `value`, which is the value of `column`."""
    i, integer = _number_end(buf, value, end)
    if i < 0 or column < 0:
        return i
    if _KINDS[column] != _INTEGER or not integer or i - value > _MAX_INTEGER_BYTES:
        return _ODD
    # The text of -0 is not that of its value.
    return _ODD if buf[value] == MINUS and buf[value + 1] == ZERO else i


@compiled
def _value_end(
    buf: Bytes,
    value: int,
    end: int,
    column: int,
    seed: np.uint64,
    row: int,
    tokens: Int32s,
    uploaded: Int64s,
    scratch: Bytes,
) -> tuple[int, bool, np.uint64, np.uint64]:
    """Read the value of `column` (-1 for none) into row `row`: place after it, whether it needs rewriting, its hash."""
    byte = buf[value]
    if byte == LOWER_N:
        return _literal_end(buf, value, end), False, _mix(seed), _mix(seed ^ _C2)
    rewrite = blanks = False
    if byte == QUOTE:
        i, rewrite = _string_value(buf, value, end, column, row, uploaded)
    elif byte in (OPEN_BRACE, OPEN_BRACKET):
        i, blanks = _nested_end(buf, value, end)
        rewrite = blanks
        if i >= 0 and column >= 0 and _KINDS[column] != _NESTED:
            i = _ODD
    elif byte == MINUS or _is_digit(byte):
        i = _number_value(buf, value, end, column)
    else:
        i = _literal_end(buf, value, end)
        if i >= 0 and column >= 0:
            i = _ODD  # no column holds true or false
    if i < 0:
        return i, False, _U0, _U0
    if column >= 0:
        tokens[row, column, 0], tokens[row, column, 1] = value, i - value
    if blanks:
        if i - value + 8 > scratch.shape[0]:
            return _ODD, False, _U0, _U0
        a, b = _hash(scratch, 0, _minify(buf, value, i, scratch), seed)
    else:
        a, b = _hash(buf, value, i, seed)
    return i, rewrite, a, b


@compiled
def _token(tokens: Int32s, row: int, column: int) -> tuple[int, int]:
    """Start and end of a value."""
    start = int(np.int64(tokens[row, column, 0]))
    return start, start + int(np.int64(tokens[row, column, 1]))


@compiled
def _bit(mask: np.uint32, column: int) -> bool:
    return bool((mask >> np.uint32(column)) & np.uint32(1))


@compiled
def _is_event(buf: Bytes, row: int, tokens: Int32s, rewrite: np.uint32) -> bool:
    """Whether a row has a uuid, a time, and an event type with something visible in it."""
    if tokens[row, _UUID, 1] < 3:  # two are the quotes
        return False
    if tokens[row, _EVENT_TIME, 1] + tokens[row, _CLIENT_TIME, 1] + tokens[row, _SERVER_TIME, 1] == 0:
        return False
    if _bit(rewrite, _EVENT_TYPE):
        return False
    start, end = _token(tokens, row, _EVENT_TYPE)
    k = start + 1
    while k < end - 1 and not (FIRST_VISIBLE <= buf[k] <= LAST_VISIBLE and buf[k] != BACKSLASH):
        k += 1
    return k < end - 1


@compiled
def _record_end(
    buf: Bytes,
    start: int,
    end: int,
    max_record: int,
    row: int,
    tokens: Int32s,
    special: Masks,
    keys: Words,
    digests: Words,
    uploaded: Int64s,
    unknown: Int32s,
    n_unknown: int,
    scratch: Bytes,
    order: Int64s,
    coerced: Int64s,
) -> tuple[int, int]:
    """Read the object at `start` into row `row` of `scan`'s arrays; the place after it, and the unknown keys so far."""
    seen = _U0  # one bit per known key
    rewrite = np.uint32(0)  # one bit per column
    sum_a, sum_b = _U0, _U0  # sums, so that the order of keys does not matter
    n_keys, first_unknown = 0, n_unknown
    for column in range(N_COLUMNS):
        tokens[row, column, 1] = 0
    uploaded[row] = _NEVER
    i = start
    while True:
        # At the opening brace or a comma.
        key_start = _key_start(buf, i + 1, end)
        if key_start < 0:
            return key_start, first_unknown
        # Records of one export have their keys in one order: what came here last time is tried first.
        i, key = _key_end(buf, key_start, end, int(order[n_keys]) if n_keys < order.shape[0] else -1)
        if i < 0:
            return i, first_unknown
        if n_keys < order.shape[0]:
            order[n_keys] = key
        n_keys += 1
        if key >= 0:
            bit = _U1 << np.uint64(key)
            if seen & bit != _U0:
                return _ODD, first_unknown
            seen |= bit
            column = int(_KEY_COLUMN[key])
            seed_a, seed_b = np.uint64(key + 1), np.uint64(key + 1)
        else:
            if not _note_unknown(buf, key_start, i - 1 - key_start, unknown, first_unknown, n_unknown):
                return _ODD, first_unknown
            n_unknown += 1
            column = -1
            seed_a, seed_b = _hash(buf, key_start, i - 1, _U0)
        i = _value_start(buf, i, end)
        if i < 0:
            return i, first_unknown
        i, odd, a, b = _value_end(buf, i, end, column, seed_a, row, tokens, uploaded, scratch)
        if i < 0:
            return i, first_unknown
        if odd and column >= 0:
            rewrite |= np.uint32(1) << np.uint32(column)
        sum_a += a
        sum_b += b ^ seed_b
        i = _value_follower(buf, i, end)
        if i < 0:
            return i, first_unknown
        if buf[i] == CLOSE_BRACE:
            break
    i += 1
    if i - start > max_record or not _is_event(buf, row, tokens, rewrite):
        return _ODD, first_unknown
    special[row] = rewrite
    uuid, uuid_end = _token(tokens, row, _UUID)
    keys[row, 0], keys[row, 1] = _hash(buf, uuid + 1, uuid_end - 1, _U1)
    digests[row, 0], digests[row, 1] = sum_a, sum_b
    for column in range(N_COLUMNS):
        if _bit(rewrite, column) and _KINDS[column] == _TIME:
            coerced[column] += 1
    return i, n_unknown


@compiled
def scan(
    buf: Bytes,
    start: int,
    stop: int,
    end: int,
    state: int,
    max_record: int,
    spans: Int64s,
    tokens: Int32s,
    special: Masks,
    keys: Words,
    digests: Words,
    uploaded: Int64s,
    unknown: Int32s,
    scratch: Bytes,
    order: Int64s,
    coerced: Int64s,
    result: Int64s,
) -> None:
    """Read regular records until one is irregular or not whole, the next begins at `stop` or later, or no row is left.

    Places and sizes are in bytes, places from the beginning of `buf`. Record number k fills row k of the arrays.

    Parameters
    ----------
    buf : uint8, shape (end + 8 or more,)
        Text and padding.
    start, stop : int
        Where to begin, and from where on a record is not begun.
    end : int
        Where the text ends.
    state : int
        Where in the stream `start` is (``decoding.TOP_LEVEL`` and so on).
    max_record : int
        Size of the longest record that is regular.
    spans : int64, shape (n, 2)
        Written: place of each record and place after it. Its length is the most records to read.
    tokens : int32, shape (n, N_COLUMNS, 2)
        Written: place and size of each column's value, strings with their quotes; size 0 when it is null or absent.
    special : uint32, shape (n,)
        Written: one bit per column, the first the lowest, set when `write_rows` must rewrite the value: text with
        escapes, a time that is not in the canonical spelling, a nested value with blanks.
    keys : uint64, shape (n, 2)
        Written: hash of the uuid.
    digests : uint64, shape (n, 2)
        Written: hash of the content, whatever the order of its keys and its blanks.
    uploaded : int64, shape (n,)
        Written: ``server_upload_time`` in microseconds from 1970, the largest integer when there is none.
    unknown : int32, shape (m, 2)
        Written: place and size of each key that is not in ``SOURCE_FIELDS``, record after record.
    scratch : uint8, shape (s,)
        Room to work in. Nested values with blanks are irregular when they are longer than s - 8.
    order : int64, shape (k,)
        Which known key came first, second, and so on in the last record; at first all -1. Kept between calls, for
        speed only.
    coerced : int64, shape (N_COLUMNS,)
        Added to: number of times that were not in the canonical spelling.
    result : int64, shape (6,)
        Written: place reached, number of records, why it stopped (``decoding.DONE`` and so on), state at that place,
        bytes between records, number of unknown keys.
    """
    i, n, n_unknown, separators = start, 0, 0, 0
    code = DONE
    while n < spans.shape[0]:
        blank = i
        i = _blanks_end(buf, i, end)
        separators += i - blank
        if i >= end:
            code = NEED_MORE
            break
        if state == AFTER_ELEMENT:
            if buf[i] != COMMA:
                code = IRREGULAR
                break
            i += 1
            separators += 1
            state = AFTER_COMMA
            continue
        if i >= stop:
            break
        if buf[i] != OPEN_BRACE:
            code = IRREGULAR
            break
        if n_unknown > unknown.shape[0] - MAX_UNKNOWN_KEYS:
            break
        after, n_unknown = _record_end(
            buf, i, end, max_record, n,
            tokens, special, keys, digests, uploaded, unknown, n_unknown, scratch, order, coerced,
        )  # fmt: skip
        if after < 0:
            code = NEED_MORE if after == _MORE else IRREGULAR
            break
        spans[n, 0], spans[n, 1] = i, after
        n += 1
        i = after
        if state != TOP_LEVEL:
            state = AFTER_ELEMENT
    result[0], result[1], result[2], result[3], result[4], result[5] = i, n, code, state, separators, n_unknown


@compiled
def hash_bytes(buf: Bytes, size: int) -> Hash:
    """Hash of the first `size` bytes of a padded buffer, the same as that of a uuid in the `keys` of `scan`."""
    return _hash(buf, 0, size, _U1)


@compiled
def find_entries(
    buf: Bytes,
    n: int,
    tokens: Int32s,
    columns: Int64s,
    slots: Words,
    slot_entry: Int32s,
    known: int,
    entry_of: Int32s,
    missing: Int32s,
) -> tuple[int, int]:
    """Number the distinct values of some columns with a hash table; new values get the next numbers (entries).

    Parameters
    ----------
    buf : uint8, shape (end + 8 or more,)
        As for `scan`.
    n : int
        Number of records.
    tokens : int32, shape (n or more, N_COLUMNS, 2)
        As `scan` wrote them.
    columns : int64, shape (c,)
        Columns to look up. The same value in two of them is two values.
    slots : uint64, shape (s, 2)
        Hashes of the known values: open addressing, s a power of two. The caller sees to it that slots stay free.
    slot_entry : int32, shape (s,)
        Entry of the value in each slot, -1 when the slot is free.
    known : int
        Number of known values.
    entry_of : int32, shape (n or more, c or more)
        Written: entry of each record's values, -1 for null.
    missing : int32, shape (n * c or more, 2)
        Written: for each new value the record and the place in `columns` where it came first.

    Returns
    -------
    known, new : int
        Number of known values, the new ones included, and of new ones.
    """
    mask = slots.shape[0] - 1
    new = 0
    for row in range(n):
        for place in range(columns.shape[0]):
            start, end = _token(tokens, row, int(columns[place]))
            if start == end:
                entry_of[row, place] = -1
                continue
            a, b = _hash(buf, start, end, np.uint64(place + 1))
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


# The functions that follow write to place `at` of `out` and return the place after what they wrote.


@compiled
def _write_quoted(buf: Bytes, start: int, end: int, out: Bytes, at: int) -> int:
    """Write bytes between quotes."""
    out[at] = QUOTE
    at = _copy(buf, start, end, out, at + 1)
    out[at] = QUOTE
    return at + 1


@compiled
def _write_code_point(point: np.int64, out: Bytes, at: int) -> int:
    """Write a character from U+0080 up to U+FFFF in UTF-8."""
    if point < 0x800:
        out[at] = 0xC0 | (point >> 6)
        at += 1
    else:
        out[at] = 0xE0 | (point >> 12)
        out[at + 1] = 0x80 | ((point >> 6) & 0x3F)
        at += 2
    out[at] = 0x80 | (point & 0x3F)
    return at + 1


@compiled
def _write_text(buf: Bytes, start: int, end: int, out: Bytes, at: int) -> int:
    """Write a JSON string with escapes, of which `start` and `end` are inside the quotes, as a field."""
    out[at] = QUOTE
    at += 1
    i = start
    while i < end:
        byte = buf[i]
        if byte != BACKSLASH:
            out[at] = byte
            at += 1
            i += 1
            continue
        code = buf[i + 1]
        i += 2
        if code == LOWER_U:
            point = (
                (np.int64(_HEX[buf[i]]) << 12)
                | (np.int64(_HEX[buf[i + 1]]) << 8)
                | (np.int64(_HEX[buf[i + 2]]) << 4)
                | np.int64(_HEX[buf[i + 3]])
            )
            at = _write_code_point(point, out, at)  # not ASCII: `_needs_reference`
            i += 4
            continue
        if code == QUOTE:  # CSV doubles it
            out[at] = QUOTE
            at += 1
        out[at] = _ESCAPED[code]
        at += 1
    out[at] = QUOTE
    return at + 1


@compiled
def _write_time(buf: Bytes, start: int, out: Bytes, at: int) -> int:
    """Write the time in the string at `start` as a field, with a space and six decimals."""
    field = at
    i = start + 20  # after the quote and the seconds
    at = _copy(buf, start, i, out, at)
    out[field + 11] = SPACE
    out[at] = DOT
    at += 1
    digits = 0
    if buf[i] == DOT:
        i += 1
        while digits < 6 and _is_digit(buf[i]):
            out[at] = buf[i]
            at += 1
            i += 1
            digits += 1
    while digits < 6:
        out[at] = ZERO
        at += 1
        digits += 1
    out[at] = QUOTE
    return at + 1


@compiled
def _write_nested(buf: Bytes, start: int, end: int, blanks: bool, out: Bytes, at: int) -> int:
    """Write an object or array as a field, without the blanks between its tokens if it has any."""
    out[at] = QUOTE
    at += 1
    in_string = False
    i = start
    while i < end:
        byte = buf[i]
        if byte == QUOTE:
            in_string = not in_string
        elif byte == BACKSLASH:
            out[at] = BACKSLASH
            at += 1
            i += 1
            byte = buf[i]
        if byte == QUOTE:  # CSV doubles it
            out[at] = QUOTE
            at += 1
        if in_string or not blanks or not _BLANK[byte]:
            out[at] = byte
            at += 1
        i += 1
    out[at] = QUOTE
    return at + 1


@compiled
def _write_value(buf: Bytes, start: int, end: int, column: int, rewrite: bool, out: Bytes, at: int) -> int:
    """Write the value between `start` and `end` as a field."""
    kind = _KINDS[column]
    if kind == _NESTED:
        at = _write_nested(buf, start, end, rewrite, out, at)
    elif kind == _INTEGER:
        at = _write_quoted(buf, start, end, out, at)
    elif not rewrite:
        at = _copy(buf, start, end, out, at)  # a string has its quotes already
    elif kind == _TIME:
        at = _write_time(buf, start, out, at)
    else:
        at = _write_text(buf, start + 1, end - 1, out, at)
    return at


@compiled
def write_rows(
    buf: Bytes,
    n: int,
    tokens: Int32s,
    special: Masks,
    places: Int64s,
    entry_of: Int32s,
    actions: NDArray[np.uint8],
    texts: Bytes,
    skip: Flags,
    out: Bytes,
    row_ends: Int64s,
) -> int:
    r"""Write records as rows of CSV: every field in quotes, null as ``"\N"``.

    Parameters
    ----------
    buf : uint8, shape (end + 8 or more,)
        As for `scan`.
    n : int
        Number of records.
    tokens : int32, shape (n or more, N_COLUMNS, 2)
        As `scan` wrote them.
    special : uint32, shape (n or more,)
        As `scan` wrote them.
    places : int64, shape (N_COLUMNS,)
        Place of each column in the `columns` of `find_entries`, -1 for those that are not among them.
    entry_of : int32, shape (n or more, c)
        As `find_entries` wrote them.
    actions : uint8, shape (e,)
        What to do with the value of each entry: ``decoding.WRITE_PSEUDONYM`` or ``decoding.WRITE_VALUE``.
    texts : uint8, shape (e, p)
        Pseudonym of each entry, p characters of ASCII.
    skip : bool, shape (n or more,)
        Records to leave out.
    out : uint8, shape (twice the size of the records and n * ``decoding.ROW_OVERHEAD``, or more,)
        Written: the rows.
    row_ends : int64, shape (n or more,)
        Written: place in `out` after each row.

    Returns
    -------
    int
        Number of bytes written.
    """
    at = 0
    for row in range(n):
        if skip[row]:
            row_ends[row] = at
            continue
        for column in range(N_COLUMNS):
            if column:
                out[at] = COMMA
                at += 1
            start, end = _token(tokens, row, column)
            place = places[column]
            if start == end:
                out[at], out[at + 1], out[at + 2], out[at + 3] = QUOTE, BACKSLASH, UPPER_N, QUOTE
                at += 4
            elif place >= 0 and actions[entry_of[row, place]] == WRITE_PSEUDONYM:
                at = _write_quoted(texts[entry_of[row, place]], 0, texts.shape[1], out, at)
            else:
                at = _write_value(buf, start, end, column, _bit(special[row], column), out, at)
        out[at] = NEWLINE
        at += 1
        row_ends[row] = at
    return at
