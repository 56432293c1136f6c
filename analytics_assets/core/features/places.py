"""Names of places in one spelling: countries, regions, cities, US market areas.

Put here: pure functions from delivered texts to standard names and codes. Keep out: filling in what is missing
(``imputation.py``).

Countries are those of ISO 3166-1, regions those of ISO 3166-2 (both from pycountry), English names those of the Unicode
CLDR (countries from babel, regions in ``region_names.tsv``). A text is found by its exact name, code or a listed alias
after folding case, diacritics, blanks and punctuation; nothing is guessed from similar spelling, because a wrong place
is worse than one without a code.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

CACHED_TEXTS = 1 << 17
"""Distinct texts whose result is remembered, per function: more than the places of any year, and bounded."""

_COUNTRY_ALIASES = {
    # Short forms that neither ISO nor the CLDR lists.
    "UK": "GBR",
    "Great Britain": "GBR",
    "Britain": "GBR",
    "UAE": "ARE",
    "DR Congo": "COD",
    "DRC": "COD",
    "Democratic Republic of Congo": "COD",
    "Hong Kong SAR": "HKG",
    "Macao SAR": "MAC",
    "Macau SAR": "MAC",
    "Bosnia": "BIH",
    "Vatican": "VAT",
    "Palestinian Territory": "PSE",
    "Åland": "ALA",
    # Names in use before a country changed its own.
    "Turkey": "TUR",
    "Macedonia": "MKD",
    "FYR Macedonia": "MKD",
    "Former Yugoslav Republic of Macedonia": "MKD",
    "Swaziland": "SWZ",
    "Burma": "MMR",
    "East Timor": "TLS",
    "Libyan Arab Jamahiriya": "LBY",
    "Macau": "MAC",
    # Common names in another tongue or for a part that stands for the whole.
    "Ivory Coast": "CIV",
    "Holland": "NLD",
}

_APOSTROPHES = "'’‘`´ʻʼʹʾʿ"
_COMBINING = re.compile("[\u0300-\u036f]")
_LATIN = re.compile("[a-z\u00c0-\u02af\u1e00-\u1eff\u2c60-\u2c7f\ua720-\ua7ff\uab30-\uab6f]")


@lru_cache(maxsize=CACHED_TEXTS)
def fold(text: str) -> str:
    """What two spellings of one name have in common: no case, diacritics, blanks, punctuation or articles.

    Latin letters become ASCII; other scripts keep their letters, because transliterations of different names are
    often the same. Empty for a text without letters and digits.
    """
    return "".join(_words(text))


def _words(text: str) -> list[str]:
    from anyascii import anyascii

    folded = unicodedata.normalize("NFC", text).casefold()
    folded = _COMBINING.sub("", unicodedata.normalize("NFKD", folded)).replace("&", " and ")
    # A modifier letter or apostrophe belongs to its word: kharkivs'ka, ha'il.
    folded = "".join(c for c in folded if c not in _APOSTROPHES and not "\u02b0" <= c <= "\u02ff")
    if not folded.isascii():
        folded = _LATIN.sub(lambda match: anyascii(match[0]), folded).casefold()
    words = "".join(c if unicodedata.category(c)[0] in "LNM" else " " for c in folded).split()
    if len(words) > 1:
        words = ["saint" if word == "st" else word for word in words if word != "the"]
    return words


def clean_text(text: str | None) -> str | None:
    """The text in Unicode normal form C with single blanks; None for an empty one."""
    if text is None:
        return None
    return " ".join(unicodedata.normalize("NFC", text).split()) or None


def _turned(name: str) -> Iterator[str]:
    """A name in the orders it is written in: 'Korea, Republic of', 'Republic of Korea'; without a bracket."""
    for form in (name, re.sub(r"\s*[(\[].*", "", name)):
        yield form
        head, comma, tail = form.partition(", ")
        if comma:
            yield f"{tail} {head}"


def _index(tiers: Iterable[Iterable[tuple[str, str]]]) -> dict[str, str]:
    """Folded name to code; a name that a tier gives to several codes has none, earlier tiers win."""
    found: dict[str, str] = {}
    taken: set[str] = set()
    for tier in tiers:
        codes: dict[str, set[str]] = defaultdict(set)
        for name, code in tier:
            codes[fold(name)].add(code)
        found |= {key: min(those) for key, those in codes.items() if key not in taken and len(those) == 1 and key}
        taken |= codes.keys()
    return found


@cache
def _countries() -> tuple[dict[str, str], dict[str, str], dict[str, str]]:
    """Folded name to alpha-3 code; alpha-3 to common name; alpha-3 to alpha-2."""
    import pycountry
    from babel import Locale

    common = Locale.parse("en").territories
    first: list[tuple[str, str]] = []
    second: list[tuple[str, str]] = []
    heads: list[tuple[str, str]] = []
    names, short = {}, {}
    for country in pycountry.countries:
        code = country.alpha_3
        names[code], short[code] = common.get(country.alpha_2, country.name), country.alpha_2
        first += [(text, code) for text in (country.alpha_2, code, country.name, names[code])]
        for other in (country.name, getattr(country, "official_name", ""), getattr(country, "common_name", "")):
            second += [(form, code) for form in _turned(other)]
        heads.append((country.name.partition(", ")[0], code))
    return _index([first, [*second, *_COUNTRY_ALIASES.items()], heads]), names, short


def country_code(text: str) -> str | None:
    """ISO 3166-1 alpha-3 code of a country given by its name or code; None where the text names none.

    Known are the ISO and CLDR names, both codes and a few other names in use; blanks, case, diacritics and punctuation
    do not matter. Kosovo has no code: ISO 3166-1 lists none.
    """
    return _countries()[0].get(fold(text))


def country_name(code: str) -> str:
    """Common English name of an ISO 3166-1 alpha-3 code, from the CLDR.

    Raises
    ------
    KeyError
        ISO 3166-1 has no such code.
    """
    return _countries()[1][code]


_REGION_ALIASES = {
    # Adjectives, as in 'Masovian Voivodeship'.
    "Lower Silesian": "PL-02",
    "Kuyavian-Pomeranian": "PL-04",
    "Masovian": "PL-14",
    "Subcarpathian": "PL-18",
    "Pomeranian": "PL-22",
    "Silesian": "PL-24",
    "Warmian-Masurian": "PL-28",
    "West Pomeranian": "PL-32",
    # English and former names that neither ISO nor the CLDR gives to the present code.
    "Mexico City": "MX-CMX",
    "Federal District of Mexico": "MX-CMX",
    "National Capital Territory of Delhi": "IN-DL",
    "Orissa": "IN-OD",
    "Pondicherry": "IN-PY",
    "Uttaranchal": "IN-UK",
    "Kyiv City": "UA-30",
    "Kiev": "UA-30",
    # Former regions that lie whole in a present one.
    "Alsace": "FR-GES",
    "Aquitaine": "FR-NAQ",
    "Auvergne": "FR-ARA",
    "Basse-Normandie": "FR-NOR",
    "Lower Normandy": "FR-NOR",
    "Bourgogne": "FR-BFC",
    "Burgundy": "FR-BFC",
    "Champagne-Ardenne": "FR-GES",
    "Franche-Comté": "FR-BFC",
    "Haute-Normandie": "FR-NOR",
    "Upper Normandy": "FR-NOR",
    "Languedoc-Roussillon": "FR-OCC",
    "Limousin": "FR-NAQ",
    "Lorraine": "FR-GES",
    "Midi-Pyrénées": "FR-OCC",
    "Nord-Pas-de-Calais": "FR-HDF",
    "Picardie": "FR-HDF",
    "Picardy": "FR-HDF",
    "Poitou-Charentes": "FR-NAQ",
    "Rhône-Alpes": "FR-ARA",
}

_KINDS = "|".join(
    """
    province provincia provincie provinsi region regione regiao departamento department departement district distrito
    oblast voblast voblasc kray krai respublika republic avtonomnyy_okrug autonomous_okrug okrug voivodeship voivodship
    wojewodztwo county shi sheng zizhiqu prefecture ken governorate muhafazat canton kanton state estado territory
    municipality municipiul emirate parish division lan fylke kraj judetul judet megye fovaros tinh thanh_pho changwat
    hlavni_mesto landskapet maakunta apskritis novads rayon raion zupanija obcina opstina comunidad_autonoma comunidad
    autonomous_community do gun ostan_e baladiyat
    """.split()
).replace("_", " ")
"""Words for kinds of regions; they tell two regions apart only where the rest of their names is the same."""
_KIND_FIRST = re.compile(rf"^(?:{_KINDS}) (?:(?:of|de|del|di|do|da|du|d) )?(?=.)")
_KIND_LAST = re.compile(rf"(?<=.) (?:{_KINDS})$")


def _bare(text: str) -> str:
    """A folded name without the words for its kind: 'Provincia de San José' and 'San José Province'."""
    name, before = " ".join(_words(text)), ""
    while name != before:
        before, name = name, _KIND_LAST.sub("", _KIND_FIRST.sub("", name))
    return name.replace(" ", "")


@cache
def _english_regions() -> dict[str, str]:
    """ISO 3166-2 code to English name, where the CLDR's differs from ISO's."""
    lines = (Path(__file__).parent / "region_names.tsv").read_text(encoding="utf-8").splitlines()
    return dict(line.split("\t") for line in lines if not line.startswith("#"))


@dataclass(frozen=True)
class _Regions:
    """Regions of one country: folded name to code, name without its kind to code, code to name."""

    full: dict[str, str]
    bare: dict[str, str]
    names: dict[str, str]


@cache
def _regions(country: str) -> _Regions:
    import pycountry

    subdivisions: Any = pycountry.subdivisions
    parts = sorted(subdivisions.get(country_code=_countries()[2][country]) or [], key=lambda part: part.code)
    parents = {part.code: part.parent_code for part in parts}
    english = _english_regions()
    own, other, codes = [], [], []
    for part in parts:
        code = part.code
        inside = re.findall(r"\[(.*?)(?:\s*[A-Z]{2}-\w+)?\]", part.name)
        kinds = (f"{part.name} {part.type}", f"{part.type} {part.name}", f"{part.type} of {part.name}")
        forms = [*_turned(part.name), *inside, *kinds]
        own.append((part.name, code))
        other += [(form, code) for form in [*forms, *_turned(english.get(code, part.name)), code]]
        # The last part alone is in use only where it is made of letters: TX, but not 01.
        tail = code.partition("-")[2]
        codes += [(tail, code)] if len(tail) > 1 and tail.isalpha() else []
    other += [(name, code) for name, code in _REGION_ALIASES.items() if code in parents]
    full = _index([_contained(own, parents), _contained(other, parents), codes])
    spoken = {(_bare(name), code) for name, code in [*own, *other]}
    bare = _index([_contained(spoken, parents)])
    names = {
        part.code: part.name if full.get(fold(part.name)) == part.code else f"{part.name} ({part.type})"
        for part in parts
    }
    return _Regions(full, bare, names)


def _contained(names: Iterable[tuple[str, str]], parents: dict[str, str | None]) -> list[tuple[str, str]]:
    """Of regions with one name the one that contains the others, because it is right for all of them."""
    codes: dict[str, set[str]] = defaultdict(set)
    for name, code in names:
        codes[fold(name)].add(code)
    return [(key, code) for key, those in codes.items() for code in those if parents[code] not in those]


@lru_cache(maxsize=CACHED_TEXTS)
def region_code(country: str, text: str) -> str | None:
    """ISO 3166-2 code of a region of a country; None unless the text names exactly one.

    Parameters
    ----------
    country : str
        ISO 3166-1 alpha-3 code.
    text : str
        Name or code, with or without a word for its kind. Where one of several regions of a name contains the others,
        it is meant.
    """
    regions = _regions(country)
    return regions.full.get(fold(text)) or regions.bare.get(_bare(text))


def region_name(code: str) -> str:
    """Name of an ISO 3166-2 code, with its kind where another region of the country has the same name."""
    return _regions(country_code(code.partition("-")[0]) or "").names[code]


@dataclass(frozen=True)
class MarketArea:
    """A US market area by its name: the cities it lists and the ISO 3166-2 codes of the states it lists."""

    cities: tuple[str, ...]
    states: tuple[str, ...]


_STATE = (
    "(?:A[KLRZ]|C[AOT]|D[CE]|FL|GA|HI|I[ADLN]|K[SY]|LA|M[ADEINOST]|N[CDEHJMVY]|O[HKR]|PA|RI|S[CD]|T[NX]|UT|V[AT]|"
    "W[AIVY])"
)
_MARKET_PART = re.compile(rf"(?P<names>[^,]+?)(?P<comma>,)?\s+(?P<states>{_STATE}(?:[-/ ]{_STATE})*)(?:\s*-\s*|$)")


@lru_cache(maxsize=CACHED_TEXTS)
def market_area(text: str, *, comma: bool = False) -> MarketArea | None:
    """Read a market area's name such as 'Washington, DC (Hagerstown, MD)'; None where it is none.

    Parameters
    ----------
    text : str
        Cities joined by hyphens, then states; more of them in brackets.
    comma : bool
        Ask for a comma before each state and allow it in any case: the form in fields that are meant for other names.
    """
    rest = re.sub(r"\s*\((.*?)\)\s*", r" - \1", clean_text(text) or "")
    rest = re.sub(r" - ([^,]+?), ", r"-\1, ", rest)
    rest = re.sub(r",\s*([A-Za-z]{2})\b", lambda match: f", {match[1].upper()}", rest)
    cities: list[str] = []
    states: list[str] = []
    position = 0
    while position < len(rest):
        part = _MARKET_PART.match(rest, position)
        if part is None or (comma and not part["comma"]):
            return None
        cities += [re.sub(r"(?i)\bft\.?(?= )", "Fort", name).strip() for name in re.split(r"\s*[-&]\s*", part["names"])]
        states += [f"US-{state}" for state in re.split("[-/ ]", part["states"])]
        position = part.end()
    return MarketArea(tuple(filter(None, dict.fromkeys(cities))), tuple(dict.fromkeys(states))) if cities else None


@dataclass(frozen=True)
class Place:
    """A place in standard names.

    Attributes
    ----------
    country, country_code : str or None
        Common English name and ISO 3166-1 alpha-3 code; the delivered text and None where it names no country.
    region, region_code : str or None
        Name and code in ISO 3166-2; the delivered text and None where it names no single region of the country.
    city : str or None
        As delivered, without a state behind it.
    dma : str or None
        US market area, also one that was delivered as a city or region.
    dma_city, dma_region_code : str or None
        The one city and the one state that the market area names; None where it names several.
    """

    country: str | None
    country_code: str | None
    region: str | None
    region_code: str | None
    city: str | None
    dma: str | None
    dma_city: str | None
    dma_region_code: str | None


@lru_cache(maxsize=CACHED_TEXTS)
def standardize(country: str | None, region: str | None, city: str | None, dma: str | None) -> Place:
    """Standard names of one place as delivered; nothing is filled in that the texts do not say.

    In the United States a city like 'Nashville, TN' also says its state, and a market area in place of a city or region
    is read as a market area.
    """
    country, region, city, dma = (clean_text(text) for text in (country, region, city, dma))
    code = country_code(country) if country else None
    if code == "USA":
        region, city, dma = _without_markets(region, city, dma)
    part = region_code(code, region) if code and region else None
    area = market_area(dma) if dma and code in (None, "USA") else None
    return Place(
        country=country_name(code) if code else country,
        country_code=code,
        region=region_name(part) if part else region,
        region_code=part,
        city=city,
        dma=dma,
        dma_city=area.cities[0] if area and len(area.cities) == 1 else None,
        dma_region_code=area.states[0] if area and len(area.states) == 1 else None,
    )


def _without_markets(
    region: str | None, city: str | None, dma: str | None
) -> tuple[str | None, str | None, str | None]:
    """Region, city and market area of a US place, each in its own field."""
    area = market_area(region, comma=True) if region else None
    if area:
        dma = dma or region
        region = region_name(area.states[0]) if len(area.states) == 1 else None
    area = market_area(city, comma=True) if city else None
    if area and len(area.cities) == len(area.states) == 1:
        # A state that contradicts the region stays where it was delivered.
        if region is None or region_code("USA", region) == area.states[0]:
            region, city = region or region_name(area.states[0]), area.cities[0]
    elif area:
        dma, city = dma or city, None
    return region, city, dma


City = tuple[str | None, str | None, str]
"""Country, region and city."""


def city_forms(cities: Iterable[tuple[str | None, str | None, str, int]]) -> dict[City, str]:
    """The most frequent spelling of every city; of equally frequent ones the smallest text.

    Parameters
    ----------
    cities : iterable of (country, region, city, events)
        Standard names of countries and regions. Cities of one region are the same when their names differ in case,
        diacritics, blanks and punctuation only. A city without a region belongs to the region of the country's one
        city of this name, if there is exactly one.

    Returns
    -------
    dict
        (country, region, city) to the city's one spelling.
    """
    listed = list(cities)
    regions: dict[tuple[str | None, str], set[str]] = defaultdict(set)
    for country, region, city, _ in listed:
        if region is not None:
            regions[country, fold(city) or city].add(region)
    groups: dict[City, City] = {}
    counts: dict[City, Counter[str]] = defaultdict(Counter)
    for country, region, city, events in listed:
        key = fold(city) or city
        known = regions[country, key]
        group = (country, min(known) if region is None and len(known) == 1 else region, key)
        groups[country, region, city] = group
        counts[group][city] += events
    best = {group: min(count, key=lambda form: (-count[form], form)) for group, count in counts.items()}
    return {place: best[group] for place, group in groups.items()}
