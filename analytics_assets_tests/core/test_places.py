"""Standard names of places: countries, regions, cities, US market areas.

Put here: tables of names with their codes, and laws of standardization. Keep out: imputation (``test_imputation``).
"""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
import time
import unicodedata
from collections import Counter, defaultdict
from typing import Any

import pycountry
import pytest
from babel import Locale
from hypothesis import given
from hypothesis import strategies as st

from analytics_assets.core.features.places import (
    MarketArea,
    city_forms,
    country_code,
    country_name,
    fold,
    market_area,
    region_code,
    region_name,
    standardize,
)
from analytics_assets.sample.population import PLACES, SCRIPTED_PLACE
from analytics_assets_tests.conftest import REAL_SAMPLES

COMMON = Locale.parse("en").territories


def plain(text: str) -> str:
    """Latin text without accents that Unicode can take apart."""
    return "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))


def variants(text: str) -> set[str]:
    """Spellings of one name."""
    return {
        text,
        text.lower(),
        text.upper(),
        plain(text),
        unicodedata.normalize("NFD", text),
        f"  {text.replace(' ', '  ')}\t",
        text.replace("-", " "),
    }


@pytest.mark.parametrize("country", list(pycountry.countries), ids=lambda country: country.alpha_3)
def test_every_country_is_found_by_its_names_and_codes(country: Any) -> None:
    code = country.alpha_3
    names = {
        code,
        country.alpha_2,
        country.name,
        getattr(country, "official_name", code),
        getattr(country, "common_name", code),
        COMMON[country.alpha_2],
    }
    wrong = {form: country_code(form) for name in names for form in variants(name) if country_code(form) != code}
    assert not wrong
    assert country_name(code) == COMMON[country.alpha_2]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("USA", "USA"),
        ("U.S.", "USA"),
        ("uk", "GBR"),
        ("Great Britain", "GBR"),
        ("South Korea", "KOR"),
        ("Republic of Korea", "KOR"),
        ("Hong Kong SAR China", "HKG"),
        ("Hong Kong", "HKG"),
        ("Czech Republic", "CZE"),
        ("Turkey", "TUR"),
        ("Türkiye", "TUR"),
        ("Macedonia", "MKD"),
        ("Myanmar [Burma]", "MMR"),
        ("Republic of Lithuania", "LTU"),
        ("Ivory Coast", "CIV"),
        ("Cote dIvoire", "CIV"),
        ("The Netherlands", "NLD"),
        ("Saint Lucia", "LCA"),
        ("ST", "STP"),
        ("Niger", "NER"),
        ("Georgia", "GEO"),
        # Nothing is guessed: several countries, none, or almost one.
        ("Korea", None),
        ("Virgin Islands", None),
        ("Kosovo", None),
        ("Untied States", None),
        ("Anonymous Proxy", None),
        ("Europe", None),
        ("England", None),
        ("", None),
        ("?!", None),
        ("日本国", None),
    ],
)
def test_country(text: str, code: str | None) -> None:
    assert country_code(text) == code


def test_common_names() -> None:
    assert [country_name(code) for code in ("RUS", "USA", "CIV", "KOR")] == [
        "Russia",
        "United States",
        "Côte d’Ivoire",
        "South Korea",
    ]
    with pytest.raises(KeyError):
        country_name("XKX")


def test_every_region_is_found_by_its_name_and_code() -> None:
    countries: dict[str, list[Any]] = defaultdict(list)
    for part in pycountry.subdivisions:
        countries[part.country_code].append(part)
    wrong = []
    for short, parts in countries.items():
        names = Counter(fold(part.name) for part in parts)
        for part in parts:
            code, name = part.code, part.name
            texts = {code, code.lower(), region_name(code), f"{name} {part.type}"}
            if names[fold(name)] == 1:
                texts |= variants(name)
            wrong += [(code, text) for text in texts if region_code(country_code(short) or "", text) != code]
    assert not wrong


@pytest.mark.parametrize(
    ("country", "text", "code"),
    [
        ("CRI", "Provincia de San José", "CR-SJ"),
        ("POL", "Mazowieckie", "PL-14"),
        ("POL", "Masovian Voivodeship", "PL-14"),
        ("POL", "Łódź Voivodeship", "PL-10"),
        ("POL", "LODZ", "PL-10"),
        ("POL", "Lower Silesia", "PL-02"),
        ("CHN", "Beijing Shi", "CN-BJ"),
        ("CHN", "beijing", "CN-BJ"),
        ("RUS", "Moscow", "RU-MOW"),
        ("RUS", "Kostroma Oblast", "RU-KOS"),
        ("GBR", "England", "GB-ENG"),
        ("GBR", "Cymru", "GB-WLS"),
        ("DEU", "Bavaria", "DE-BY"),
        ("DEU", "Land Berlin", "DE-BE"),
        ("ZWE", "Harare Province", "ZW-HA"),
        ("MEX", "Mexico City", "MX-CMX"),
        ("MEX", "México", "MX-MEX"),
        ("UKR", "Kharkivs'ka Oblast'", "UA-63"),
        ("CZE", "Hlavni mesto Praha", "CZ-10"),
        ("VNM", "Thanh Pho Ha Noi", "VN-HN"),
        ("SLV", "Departamento de San Salvador", "SV-SS"),
        ("FRA", "Lower Normandy", "FR-NOR"),
        ("IND", "Maharashtra", "IN-MH"),
        ("USA", "TX", "US-TX"),
        ("USA", "Washington", "US-WA"),
        ("USA", "Washington State", "US-WA"),
        ("TWN", "Chiayi County", "TW-CYQ"),
        # The community contains the province of the same name.
        ("ESP", "Cantabria", "ES-CB"),
        # Codes moved since: only names in ISO's own list count.
        ("IRN", "Zanjan", "IR-19"),
        ("IRN", "Tehran", "IR-23"),
        # Several, or none.
        ("TWN", "Chiayi", None),
        ("HUN", "Veszprém", None),
        ("RUS", "Moscow Oblast", None),
        ("SGP", "Singapore", None),
        ("PRI", "San Juan", None),
        ("CAN", "Texas", None),
        ("USA", "Texarkana", None),
        ("USA", "Province", None),
        ("USA", "", None),
    ],
)
def test_region(country: str, text: str, code: str | None) -> None:
    assert region_code(country, text) == code


def test_no_two_regions_of_a_country_share_a_name() -> None:
    names = [(part.country_code, region_name(part.code)) for part in pycountry.subdivisions]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("place", [*PLACES, SCRIPTED_PLACE], ids=lambda place: str(place.city))
def test_every_place_of_the_sample_has_codes(place: Any) -> None:
    found = standardize(place.country, place.region, place.city, place.dma)
    assert found.country_code is not None
    # ISO 3166-2 divides neither Puerto Rico nor Singapore in this way.
    assert (found.region_code is None) == (found.country_code in ("PRI", "SGP"))


@pytest.mark.skipif(not REAL_SAMPLES.exists(), reason="the real samples are not here")
def test_real_countries_and_regions_have_codes() -> None:
    [path] = (REAL_SAMPLES / "apache_weblog").glob("raw/*/*.json.gz")
    events = json.loads(gzip.decompress(path.read_bytes()))
    named = [event for event in events if event["country"]]
    assert {event["country"] for event in named if country_code(event["country"]) is None} == set()
    regions = [standardize(event["country"], event["region"], None, None) for event in named if event["region"]]
    unknown = Counter((place.country_code, place.region) for place in regions if place.region_code is None)
    assert unknown.total() < 0.02 * len(regions), unknown.most_common(20)


MARKETS = {
    "Washington, DC (Hagerstown, MD)": MarketArea(("Washington", "Hagerstown"), ("US-DC", "US-MD")),
    "Nashville, TN": MarketArea(("Nashville",), ("US-TN",)),
    "Dallas-Ft. Worth, TX": MarketArea(("Dallas", "Fort Worth"), ("US-TX",)),
    "San Francisco-Oakland-San Jose, CA": MarketArea(("San Francisco", "Oakland", "San Jose"), ("US-CA",)),
    "Tampa-St Petersburg (Sarasota), FL": MarketArea(("Tampa", "St Petersburg", "Sarasota"), ("US-FL",)),
    "Davenport, IA-Rock Island-Moline, IL": MarketArea(("Davenport", "Rock Island", "Moline"), ("US-IA", "US-IL")),
    "Kansas City, MO-KS": MarketArea(("Kansas City",), ("US-MO", "US-KS")),
    "Hartford & New Haven CT": MarketArea(("Hartford", "New Haven"), ("US-CT",)),
    "Boston MA-Manchester NH": MarketArea(("Boston", "Manchester"), ("US-MA", "US-NH")),
}


@pytest.mark.parametrize("text", MARKETS)
def test_market_area(text: str) -> None:
    assert market_area(text) == MARKETS[text]
    assert market_area(f" {text.replace(' ', '  ')} ") == MARKETS[text]


@pytest.mark.parametrize("text", ["", "Paris", "Paris, FR", "Nashville, Tennessee", ", TN", "TN", "Houston, TX, more"])
def test_no_market_area(text: str) -> None:
    assert market_area(text) is None


def test_market_areas_hint_only_at_what_they_name_alone() -> None:
    for dma, city, region in (
        ("Nashville, TN", "Nashville", "US-TN"),
        ("Dallas-Ft. Worth, TX", None, "US-TX"),
        ("Washington, DC (Hagerstown, MD)", None, None),
    ):
        for country in ("United States", None):
            place = standardize(country, None, None, dma)
            assert (place.dma_city, place.dma_region_code, place.city, place.region) == (city, region, None, None)
        assert standardize("Canada", None, None, dma).dma_region_code is None


def test_market_areas_in_other_fields() -> None:
    def fields(region: str | None, city: str | None, dma: str | None = None, country: str = "US") -> tuple[object, ...]:
        place = standardize(country, region, city, dma)
        return place.region, place.city, place.dma

    both = "Washington, DC (Hagerstown, MD)"
    assert fields(None, "Nashville, TN") == ("Tennessee", "Nashville", None)
    assert fields("TN", "Nashville, TN") == ("Tennessee", "Nashville", None)
    assert fields("Texas", "Nashville, TN") == ("Texas", "Nashville, TN", None)
    assert fields("Nashville, TN", None) == ("Tennessee", None, "Nashville, TN")
    assert fields(None, both) == (None, None, both)
    assert fields(both, "Laurel") == (None, "Laurel", both)
    assert fields(both, None, "Nashville, TN") == (None, None, "Nashville, TN")
    assert fields(None, "Milano, MI", country="Italy") == (None, "Milano, MI", None)
    assert fields(None, "Santa Fe NM") == (None, "Santa Fe NM", None)


def test_unknown_texts_stay_as_delivered() -> None:
    place = standardize("  Anonymous   Proxy ", "Somewhere\u0301", " New  Town ", " ")
    assert (place.country, place.country_code) == ("Anonymous Proxy", None)
    assert (place.region, place.region_code) == ("Somewheré", None)
    assert (place.city, place.dma) == ("New Town", None)
    # A region needs its country.
    assert standardize(None, "Texas", None, None).region_code is None


TEXTS = st.one_of(
    st.none(),
    st.text(max_size=12),
    st.sampled_from(
        [name for part in list(pycountry.subdivisions)[::97] for name in variants(part.name)]
        + [name for country in list(pycountry.countries)[::23] for name in variants(country.name)]
        + [*MARKETS, "US", "usa", "Texas", "TX", "Nashville, TN", "nashville, tn", "Canada", "Spain", "Cantabria"]
    ),
)


@given(TEXTS, TEXTS, TEXTS, TEXTS)
def test_standardization_is_idempotent(
    country: str | None, region: str | None, city: str | None, dma: str | None
) -> None:
    once = standardize(country, region, city, dma)
    assert standardize(once.country, once.region, once.city, once.dma) == once
    for text in (once.country, once.region, once.city, once.dma):
        assert text is None or (text == unicodedata.normalize("NFC", text).strip() and text)


LATIN = st.text(st.characters(max_codepoint=0x24F, categories=["L", "Zs", "Pd"], exclude_characters="µ"), max_size=20)


@given(LATIN)
def test_spellings_of_one_name_fold_alike(text: str) -> None:
    assert {fold(form) for form in variants(text)} == {fold(text)}
    assert fold(fold(text)) == fold(text)
    assert fold(text).isascii()


def test_other_scripts_keep_their_letters() -> None:
    assert fold("西安") != fold("溪安")
    assert fold("МОСКВА") == fold("Москва") == "москва"
    assert fold("कि") != fold("क")


def test_cities_take_their_most_frequent_spelling() -> None:
    forms = city_forms(
        [
            ("Brazil", "São Paulo", "São Paulo", 5),
            ("Brazil", "São Paulo", "SAO PAULO", 3),
            ("Brazil", None, "Sao Paulo", 4),
            ("Germany", "Bayern", "Munster", 9),
            ("Germany", "Niedersachsen", "Munster", 2),
            ("Germany", "Nordrhein-Westfalen", "Münster", 3),
            ("Germany", None, "MÜNSTER", 9),
            ("France", "Var", "La-Garde", 1),
            ("France", "Var", "La Garde", 1),
            (None, None, "?", 1),
            (None, None, "!", 1),
        ]
    )
    assert forms == {
        ("Brazil", "São Paulo", "São Paulo"): "São Paulo",
        ("Brazil", "São Paulo", "SAO PAULO"): "São Paulo",
        ("Brazil", None, "Sao Paulo"): "São Paulo",
        ("Germany", "Bayern", "Munster"): "Munster",
        ("Germany", "Niedersachsen", "Munster"): "Munster",
        ("Germany", "Nordrhein-Westfalen", "Münster"): "Münster",
        ("Germany", None, "MÜNSTER"): "MÜNSTER",
        ("France", "Var", "La-Garde"): "La Garde",
        ("France", "Var", "La Garde"): "La Garde",
        (None, None, "?"): "?",
        (None, None, "!"): "!",
    }


@given(
    st.lists(
        st.tuples(
            st.sampled_from([None, "A", "B"]),
            st.sampled_from([None, "R", "S"]),
            st.sampled_from(["San José", "San Jose", "SAN JOSE", "San-Jose", "Paris"]),
            st.integers(0, 9),
        ),
        max_size=20,
    ),
    st.randoms(),
)
def test_city_spellings_do_not_depend_on_order(rows: list[tuple[Any, ...]], random: Any) -> None:
    forms = city_forms(rows)
    shuffled = list(rows)
    random.shuffle(shuffled)
    assert city_forms(shuffled) == forms
    assert forms.keys() == {row[:3] for row in rows}
    assert all(fold(form) == fold(place[2]) for place, form in forms.items())
    # A second round changes nothing.
    again = city_forms([(country, region, forms[country, region, city], n) for country, region, city, n in rows])
    assert all(form == city for (_, _, city), form in again.items())


def test_a_hundred_thousand_places_take_seconds() -> None:
    start = time.perf_counter()
    for number in range(100_000):
        standardize("Poland", f"Region {number % 300}", f"City {number}", None)
    assert time.perf_counter() - start < 10


def test_the_code_location_loads_no_names() -> None:
    code = (
        "import sys, analytics_assets.core.features.imputation\n"
        "print({'babel', 'pycountry', 'anyascii'} & sys.modules.keys())"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "set()"
