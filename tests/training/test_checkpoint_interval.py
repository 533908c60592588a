from composer.core import Event

from composer_clr.training import build
from composer_clr.training.build import EpochEndsAfter


def test_the_first_end_of_an_epoch_after_so_long_and_the_end(make_state, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(build.time, 'monotonic', lambda: clock[0])
    state, interval = make_state('6ep', batches=2), EpochEndsAfter(60)
    saved = []
    for batch in range(1, 13):
        clock[0] += 13
        state.timestamp = state.timestamp.to_next_batch()
        assert not interval(state, Event.BATCH_CHECKPOINT)
        if batch % 2 == 0:
            state.timestamp = state.timestamp.to_next_epoch()
            # Asked twice, as EMA does, it decides once.
            answers = [interval(state, Event.EPOCH_CHECKPOINT) for _ in range(2)]
            assert answers[0] is answers[1]
            if answers[0]:
                saved.append(batch)
    # 78 s, then 78 s after that, which is the end too.
    assert saved == [6, 12]


def test_the_end_of_training_is_saved_however_soon(make_state):
    state, interval = make_state('1ep', batches=1), EpochEndsAfter(60)
    state.timestamp = state.timestamp.to_next_batch().to_next_epoch()
    assert interval(state, Event.EPOCH_CHECKPOINT) is True
