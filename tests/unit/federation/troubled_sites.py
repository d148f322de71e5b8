"""Sites that decline, are away, fail for a while, abort the job or send bad updates."""

from nvflare.apis.fl_constant import ReturnCode
from nvflare.apis.shareable import make_reply

from consilium.federation.message_names import (
    PREPARE,
    REASON_HEADER,
    TRAIN,
)
from federation.rehearsal import Site


class Refusing(Site):
    """Refuses in some rounds, counted from 0; None for always, the preparation too."""

    def __init__(self, rounds=None, reason="no usable labeled case: 2 left out"):
        super().__init__()
        self.rounds, self.reason = rounds, reason

    def __call__(self, task, model):
        answer = super().__call__(task, model)
        if self.rounds is None or (task != PREPARE and model.current_round in self.rounds):
            return make_reply(ReturnCode.EXECUTION_EXCEPTION, {REASON_HEADER: self.reason})
        return answer


class Absent(Site):
    """Is away when it should evaluate some models, each known by the value of its weights."""

    def __init__(self, away, **site):
        super().__init__(**site)
        self.away = away

    def __call__(self, task, model):
        answer = super().__call__(task, model)
        return None if self.seen[-1][1] in self.away else answer


class Recovering(Site):
    """Can't train the first few times that it is asked to."""

    def __init__(self, failures):
        super().__init__()
        self.failures, self.failures_at = failures, None

    def __call__(self, task, model):
        answer = super().__call__(task, model)
        if task == TRAIN and model.current_round == self.failures_at:
            self.failures, self.failures_at = self.failures + 1, None
        if task == TRAIN and self.failures:
            self.failures -= 1
            return make_reply(ReturnCode.EXECUTION_EXCEPTION, {REASON_HEADER: "out of memory"})
        return answer


class Aborting(Site):
    """The job is aborted while this site works on a task of a round, counted from 0."""

    def __init__(self, abort, task, index, **site):
        super().__init__(**site)
        self.abort, self.when = abort, (task, index)

    def __call__(self, task, model):
        if (task, model.current_round) == self.when:
            self.abort.trigger(True)
        return super().__call__(task, model)


class Attacker(Site):
    """Sends its update times a factor."""

    def __init__(self, factor, rounds=None):
        super().__init__()
        self.factor, self.rounds = factor, rounds

    def update(self):
        attacks = self.rounds is None or len(self.seen) - 2 in self.rounds  # after the preparation
        return {name: value * (self.factor if attacks else 1) for name, value in super().update().items()}
