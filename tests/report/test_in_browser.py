"""The page in a real browser: its figures are drawn, its buttons and legends work, and nothing leaves the machine."""

from pathlib import Path

import pytest

from tests.helpers.browser import Browser, browser_path, opened

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(browser_path() is None, reason='no chromium: apt-get install chromium'),
]

DRAWN = 'document.querySelectorAll("#curves .scatterlayer .trace").length'
TICKS = '[...document.querySelectorAll("#curves .xtick text")].map(one => one.textContent)'
CELLS = '[...document.querySelectorAll("td")].map(one => one.textContent)'


@pytest.fixture
def pages(call, three_seeds) -> Path:
    assert call('report', 'study.csv') == 0
    return three_seeds / 'page.html'


@pytest.fixture(scope='module')
def browser(tmp_path_factory):
    with opened(tmp_path_factory.mktemp('profile')) as found:
        yield found


def button(browser: Browser, name: str, figure: str = 'curves') -> None:
    browser.click(
        f'[...document.querySelectorAll(\'button[data-figure="{figure}"]\')].find(one => one.textContent === "{name}")'
    )


def test_lines_legends_buttons_and_cells(browser, pages):
    browser.requests.clear()
    browser.open(pages)
    browser.until(f'{DRAWN} === 6')
    assert browser.value(CELLS).count('-0.033 ±0.574') == 1
    # A click in the legend hides a line, which stays hidden on another axis.
    browser.click('document.querySelector("#curves .legendtoggle")')
    browser.until(f'{DRAWN} === 5')
    by_time = browser.value(TICKS)
    button(browser, 'epochs')
    browser.until(f'JSON.stringify({TICKS}) === \'["16","32","64","128"]\'')
    assert by_time != ['16', '32', '64', '128']
    assert browser.value(DRAWN) == 5
    assert browser.value('document.querySelector("#curves").layout.xaxis.type') == 'log'
    button(browser, 'linear')
    browser.until('document.querySelector("#curves").layout.xaxis.type === "linear"')
    errors = 'document.querySelectorAll("#curves .errorbar").length'
    assert browser.value(errors) > 0
    button(browser, 'none')
    browser.until(f'{errors} === 0')
    pressed = '[...document.querySelectorAll("button[aria-pressed=true]")].map(one => one.textContent)'
    assert browser.value(pressed)[:3] == ['epochs', 'linear', 'none']
    button(browser, 'at equal time', 'improvements')
    title = 'document.querySelector("#improvements").layout.xaxis.title.text'
    browser.until(f'{title} === "training time (hours)"')
    assert (browser.problems, set(browser.requests)) == ([], {pages.as_uri()})


def test_the_area_of_a_forecast_comes_and_goes_with_its_line(browser, pages, call):
    values = {16: 0.6, 32: 0.66, 64: 0.69, 128: 0.705}
    rows = [f'cyclic,MX,1,{epoch},{60 * epoch},{value}' for epoch, value in values.items()]
    Path('one.csv').write_text('\n'.join(['kind,method,seed,epoch,wall_clock_train_s,top1', *rows]) + '\n')
    assert call('report', 'one.csv', '-o', 'one.html', '--forecast', '--sigma', '0.1') == 0
    browser.open(Path('one.html').resolve())
    browser.until(f'{DRAWN} === 2')
    assert browser.value('document.querySelectorAll("#curves .legendtoggle").length') == 1
    browser.click('document.querySelector("#curves .legendtoggle")')
    browser.until(f'{DRAWN} === 0')
    assert browser.problems == []


def test_a_hover_says_value_interval_and_seeds(browser, pages):
    browser.open(pages)
    browser.until(f'{DRAWN} === 6')
    shown = '[...document.querySelectorAll(".hoverlayer text")].map(one => one.textContent).join(" ")'
    browser.hover('document.querySelector("#curves .points path")')
    browser.until(f'{shown}.includes("3 seeds")')
    assert '16 epochs: ' in browser.value(shown)
    assert '%' in browser.value(shown)


def test_hostile_names_run_nothing_and_load_nothing(browser, pages, call):
    rows = Path('study.csv').read_text()
    hostile = '<img src=http://127.0.0.1:9/x onerror=window.hit=1><script>window.hit=1</script>&amp;'
    Path('hostile.csv').write_text(rows.replace('A_b&c', hostile))
    assert call('report', 'hostile.csv', '-o', 'hostile.html') == 0
    browser.requests.clear()
    browser.open(Path('hostile.html').resolve())
    browser.until(f'{DRAWN} === 6')
    assert browser.value('window.hit') is None
    legend = '[...document.querySelectorAll("#curves .legendtext")].map(one => one.textContent)'
    assert any(name.startswith('<img src=http') for name in browser.value(legend))
    assert hostile in browser.value(CELLS)
    assert not [one for one in browser.requests if one.startswith('http')]
    assert browser.problems == []


def test_on_a_phone_no_part_is_wider_than_the_page(browser, pages):
    browser.open(pages, width=400)
    browser.until(f'{DRAWN} === 6')
    assert browser.value('document.documentElement.scrollWidth') <= 400
    assert browser.value('document.querySelector("#curves .legend").getBoundingClientRect().right') <= 400
    # A legend that is cut has a scroll bar of some height.
    assert browser.value('document.querySelector("#curves .scrollbar").getBoundingClientRect().height') == 0


def test_in_the_dark_lines_can_be_seen(browser, pages):
    colour = 'getComputedStyle(document.querySelector("#curves .js-line")).stroke'
    browser.open(pages)
    browser.until(f'{DRAWN} === 6')
    assert browser.value(colour) == 'rgb(0, 0, 0)'
    browser.open(pages, dark=True)
    browser.until(f'{DRAWN} === 6')
    assert browser.value(colour) == 'rgb(217, 217, 217)'
    assert browser.value('getComputedStyle(document.documentElement).backgroundColor') == 'rgb(20, 23, 26)'


def test_print_is_on_white_paper_with_every_table(browser, pages, tmp_path):
    browser.open(pages, dark=True)
    browser.until(f'{DRAWN} === 6')
    browser.value('dispatchEvent(new Event("beforeprint"))')
    browser.until('getComputedStyle(document.querySelector("#curves .js-line")).stroke === "rgb(0, 0, 0)"')
    assert browser.value('document.querySelectorAll("details:not([open])").length') == 0
    browser.value('dispatchEvent(new Event("afterprint"))')
    browser.until('document.querySelectorAll("details[open]").length === 0')
    browser.pdf(tmp_path / 'page.pdf')
    assert (tmp_path / 'page.pdf').read_bytes().startswith(b'%PDF')
