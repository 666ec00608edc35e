import pytest

from ticketkit.train.pool import Pool


def test_what_came_back_is_lent_again_to_its_kind():
    pool: Pool[list[int]] = Pool()
    with pool.lent("a", list) as first:
        pass
    with pool.lent("b", list) as other, pool.lent("a", list) as again:
        assert again is first
        assert other is not first


def test_nothing_is_lent_to_two_at_a_time():
    pool: Pool[list[int]] = Pool()
    with pool.lent("a", list) as first, pool.lent("a", list) as second:
        assert first is not second


def test_what_failed_does_not_come_back():
    pool: Pool[list[int]] = Pool()
    with pytest.raises(ValueError, match="broken"), pool.lent("a", list) as first:
        raise ValueError("broken")
    with pool.lent("a", list) as second:
        assert second is not first


def test_the_one_that_has_waited_longest_goes_first():
    pool: Pool[list[int]] = Pool(capacity=2)
    kept = {}
    for kind in "abc":
        with pool.lent(kind, list) as kept[kind]:
            pass
    with pool.lent("a", list) as anew:
        assert anew is not kept["a"]
    with pool.lent("c", list) as still:
        assert still is kept["c"]


def test_those_that_wait_can_be_forgotten():
    pool: Pool[list[int]] = Pool()
    with pool.lent("a", list) as first, pool.lent("b", list) as lent:
        pass
    with pool.lent("b", list) as again:
        pool.clear()
    with pool.lent("a", list) as anew, pool.lent("b", list) as back:
        assert anew is not first
        assert back is again is lent, "what was lent then comes back all the same"
