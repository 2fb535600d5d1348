import numpy as np

from pconv_core.masks.occlusion import occlusions

STILL = np.zeros((2, 3))


def shift(x, y=0.0):
    return np.array([[0, 0, x], [0, 0, y]], dtype=float)


def square(side):
    half = side / 2
    return np.array([[-half, -half], [half, -half], [half, half], [-half, half]])


def test_nothing_is_hidden_when_nothing_moves():
    assert not occlusions(64, [square(20)], [STILL, STILL]).any()


def test_a_moving_object_hides_what_it_comes_to_lie_on():
    """A square that moves right by 10 covers 10 columns of background, as high as it is."""
    hidden = occlusions(80, [square(30)], [STILL, shift(10)])
    rows, columns = np.nonzero(hidden)
    assert abs(hidden.sum() - 10 * 30) < 70  # outlines are drawn to whole pixels
    middle = 79 / 2
    assert abs(columns.min() - (middle + 15)) < 2.5
    assert abs(columns.max() - (middle + 25)) < 2.5
    assert abs(np.ptp(rows) - 30) < 3


def test_what_the_camera_leaves_behind_is_hidden():
    hidden = occlusions(80, [], [shift(12)])
    assert hidden[:, -10:].all()
    assert not hidden[:, : 80 - 14].any()


def test_an_object_on_which_the_other_lies_is_hidden_not_the_upper_one():
    """Two equal squares; the lower one moves under the upper one, which stands still."""
    hidden = occlusions(80, [square(20) - [25, 0], square(20)], [STILL, shift(25), STILL])
    columns = np.nonzero(hidden.any(axis=0))[0]
    assert columns.max() < 79 / 2 - 10  # nothing of the upper square is hidden


def test_small_motion_is_within_the_tolerance_of_the_check():
    assert not occlusions(64, [square(20)], [STILL, shift(0.3)]).any()
