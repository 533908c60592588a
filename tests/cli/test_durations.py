import pytest

from composer_clr.cli.tables import read_duration, readable_duration, unit_of


@pytest.mark.parametrize(
    ('text', 'seconds'),
    [('3600', 3600), ('0.5s', 0.5), ('90min', 5400), ('90 min', 5400), ('2h', 7200), ('1.5d', 129600), ('1e3s', 1000)],
)
def test_read(text, seconds):
    assert read_duration(text) == seconds


@pytest.mark.parametrize('text', ['', '0', '-1', 'h', '1.2.3', '4x', 'nan', 'inf', '1e999', '2h30'])
def test_refused(text):
    with pytest.raises(ValueError, match='is not a duration above 0: write 3600, 90min or 1.5h'):
        read_duration(text)


@pytest.mark.parametrize(
    ('seconds', 'text'),
    [(0.32567, '0.326 s'), (299, '299 s'), (300, '5 min'), (7199, '120 min'), (7200, '2 h'), (4.5e6, '1250 h')],
)
def test_readable(seconds, text):
    assert readable_duration(seconds) == text


def test_readable_in_the_unit_of_another():
    assert readable_duration(90, unit_of(7200)) == '0.025 h'
