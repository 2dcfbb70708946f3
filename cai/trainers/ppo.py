"""RL-CAI by PPO: the policy writes answers, a reward scores them, and clipped policy gradients follow.

Bai et al. 2022, section 4.2, take over the settings of Bai et al. 2022a (section 4.1, App. B): PPO with a KL penalty to
the model that it starts from, a reward at the end of each answer, no entropy bonus. Deviations, all of them settings:
the critic begins as the preference model (InstructGPT), advantages are whitened, values are clipped (Ziegler et al.
2019), and the optimizer is AdamW with the betas and epsilon of Llama 2 (section 3.2.3).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator, DistributedDataParallelKwargs
from accelerate.utils import DistributedType, set_seed
from transformers import AutoTokenizer

from cai.errors import InputError
from cai.identity import seed_of
from cai.prompts import Rendered
from cai.records import Kind
from cai.rl_config import PpoConfig
from cai.trainers.actor_critic import ActorCritic, load
from cai.trainers.common import Watch, Watcher, leave_model
from cai.trainers.ema import Ema
from cai.trainers.kl_control import KlControl
from cai.trainers.lora import save_merged
from cai.trainers.mixing import Task
from cai.trainers.panel import Panel
from cai.trainers.ppo_data import Texts, of_step, tasks_of
from cai.trainers.ppo_shared import part, together
from cai.trainers.ppo_state import Checkpoints, Clock, Progress
from cai.trainers.ppo_step import Learner, described, lesson
from cai.trainers.processes import any_of_them, first
from cai.trainers.reward import Reward
from cai.trainers.rewards import means
from cai.trainers.rollout import Rollout, Written, read, seeds_of, write
from cai.trainers.trackers import reporting
from cai.weights import resolve

_BETAS, _EPSILON = (0.9, 0.95), 1e-5
"""Of AdamW (Llama 2, section 3.2.3)."""


def train_ppo(
    prompts: Sequence[Rendered],
    start: str,
    reward: Reward,
    folder: Path,
    config: PpoConfig,
    seed: int,
    watch: Watch,
    critic_start: str | None = None,
    kinds: Sequence[Kind] = (),
    pretraining: Sequence[str] = (),
    facts: Sequence[Mapping[str, Any]] = (),
    panel: Panel | None = None,
) -> dict[str, Any]:
    """Trains `start` to climb `reward` on `prompts`, in their order, and leaves the policy in `folder`/model.

    `critic_start`: the preference model that the critic begins as; None: `start`, with a head that begins at 0.
    `kinds` and `facts` say more of each prompt, to the reward. `pretraining`: texts for PPO-ptx. `panel` is looked at,
    and may end the training early; a look that is gone back to is the policy's, and not that of a running mean. The
    reward is not closed. Logged every step: reward and its parts, kl (nats a token), kl_answer, entropy (nats a token),
    losses, and what else the metrics' names say. Returns steps, tokens written, the last step's reward and kl, the
    share of time spent on writing alone, what was resumed from, how many parameters were trained, and what became of
    the panel.

    Raises InputError where models, layers or texts don't fit, Interrupted after Ctrl-C; MissingExtra where bitsandbytes
    or a package of `report_to` is not installed.
    """
    training = _Training(
        tasks_of(prompts, kinds, facts), start, reward, folder, config, seed, critic_start, pretraining, panel
    )
    resumed = training.checkpoints.resume()
    watcher = Watcher(watch)
    training.begin_watching()
    with reporting(config.report_to if first() else (), folder) as report, watcher.on_interrupt():
        while training.progress.step < config.steps and not watcher.interrupted and not training.stopped:
            row = training.step()
            if first():
                watch.metric(row)
                report(training.progress.step, row)
                watch.step(training.progress.step, config.steps)
            if any_of_them(watcher.interrupted):
                watcher.interrupted = True
            found = training.look()
            if watcher.interrupted or found or training.progress.step % config.save_every == 0:
                training.checkpoints.save(training.progress.step)
            training.set_aside()
    watched = training.finish()
    figures = {**training.progress.figures(), "resumed_from": resumed, "trainable_parameters": training.trainable}
    return {**figures, **watched}


class _Training:
    """All that a training holds."""

    def __init__(
        self,
        tasks: Sequence[Task],
        start: str,
        reward: Reward,
        folder: Path,
        config: PpoConfig,
        seed: int,
        critic_start: str | None,
        pretraining: Sequence[str],
        panel: Panel | None,
    ) -> None:
        self._tasks, self._start, self._reward, self._folder, self._panel = tasks, start, reward, folder, panel
        self._config, self._seed = config, seed
        self._tokenizer: Any = AutoTokenizer.from_pretrained(resolve(start), trust_remote_code=False)
        texts = Texts(self._tokenizer, pretraining, config.ptx, seed) if config.ptx else None
        self._accelerator = _accelerator(config)
        set_seed(seed_of(seed, "ppo") % 2**32)  # an adapter begins at random
        self._whole, self._reference = load(start, critic_start, config, self._accelerator.device)
        self._optimizer = _optimizer(self._whole, config)
        self._model, self._optimizer = self._accelerator.prepare(self._whole, self._optimizer)
        self._learner = Learner(self._model, self._optimizer, self._accelerator, config, texts)
        self._control = KlControl(config.kl, config.kl_target, config.kl_gain)
        self.progress = Progress()
        trained = [(name, weight) for name, weight in self._whole.policy.named_parameters() if weight.requires_grad]
        self._ema = Ema(trained, config.ema) if config.ema else None
        kept = (self.progress, self._control, *([self._ema] if self._ema else []))
        self.checkpoints = Checkpoints(folder / "checkpoints", self._accelerator, self._whole, *kept)

    @property
    def trainable(self) -> int:
        """How many parameters are trained, the critic's included."""
        return sum(weight.numel() for weight in self._whole.parameters() if weight.requires_grad)

    @property
    def stopped(self) -> bool:
        """Whether the panel has ended the training."""
        return self._panel is not None and any_of_them(first() and self._panel.stopped)

    def begin_watching(self) -> None:
        """The look at the panel before the first step, or what is left of earlier looks."""
        if self._panel and first():
            self._panel.resume(self.progress.step)
        self.look()
        self.set_aside()

    def look(self) -> bool:
        """Looks at the panel if it is due; whether this look is the best one, whose weights may be gone back to."""
        if self._panel is None:
            return False
        step = self.progress.step
        if first() and self._panel.due(step):
            self._panel.look(step, self._whole.policy, self._tokenizer, self._accelerator.autocast())
        return any_of_them(first() and self._panel.best == step)

    def set_aside(self) -> None:
        """Keeps the weights of the best look, once a checkpoint holds them too."""
        if self._panel and first():
            self._panel.set_aside(self.progress.step, self._whole.policy)

    def step(self) -> dict[str, float]:
        """One step: writes answers, has them scored, learns from them. Returns what is logged."""
        number, config = self.progress.step + 1, self._config
        set_seed(seed_of(self._seed, "ppo", number) % 2**32)
        clock, seconds = Clock(), dict[str, float]()
        written = self._write(of_step(self._tasks, number, config), number)
        seconds["generating"] = clock.lap()
        rollout = self._read(written)
        seconds["reading"] = clock.lap()
        rewarded = self._reward(written.samples)
        seconds["scoring"] = clock.lap()
        rollout, rewarded = together(rollout, rewarded, self._accelerator)
        taught = lesson(rollout, rewarded.total, self._control.weight, config)
        rate = self._rate(number)
        self._whole.train()
        set_seed(seed_of(self._seed, "ppo", number, "learning") % 2**32)  # a reward may have drawn
        told = {**described(taught), **self._learner.learn(taught, number)}
        if self._ema:
            self._ema.update()
        told = {"reward": sum(rewarded.total) / len(rewarded.total), **means(rewarded), **told}
        told = self._over_processes(told)
        row = {**told, "kl_coefficient": self._control.weight, "learning_rate": rate}
        self._control.update(told["kl_answer"])
        tokens = int(rollout.written.mask.sum())
        return self.progress.note(row, tokens, {**seconds, "training": clock.lap()})

    def _write(self, tasks: Sequence[Task], step: int) -> Written:
        """This process's part of the policy's answers."""
        config, accelerator = self._config, self._accelerator
        mine, seeds = part(len(tasks), accelerator), seeds_of(len(tasks), self._seed, "ppo", step)
        drawn = config.max_tokens, config.temperature, config.sampling_batch
        self._whole.eval()
        with accelerator.autocast():
            return write(self._whole.policy, self._tokenizer, tasks[mine], seeds[mine], *drawn)

    def _read(self, written: Written) -> Rollout:
        """What policy, reference and critic say of them."""
        config = self._config
        with self._accelerator.autocast():
            return read(self._whole, self._reference, written, config.temperature, config.micro_batch)

    def _rate(self, step: int) -> float:
        """Sets the rates of a step: linear from a tenth over `warmup` steps, then constant (InstructGPT, App. C.4)."""
        config = self._config
        done = min(1.0, (step - 1) / config.warmup) if config.warmup else 1.0
        policy, critic = self._optimizer.param_groups
        policy["lr"] = config.learning_rate * (0.1 + 0.9 * done)
        critic["lr"] = config.value_learning_rate * (0.1 + 0.9 * done)
        return policy["lr"]

    def _over_processes(self, told: dict[str, float]) -> dict[str, float]:
        """The mean of each figure over all processes."""
        if self._accelerator.num_processes == 1:
            return told
        values = torch.tensor(list(told.values()), dtype=torch.float32, device=self._accelerator.device)
        found: Any = self._accelerator.reduce(values, "mean")
        return dict(zip(told, found.tolist(), strict=True))

    def finish(self) -> dict[str, Any]:
        """Leaves the policy as a plain model: its weights' running mean where that is asked for, or an earlier look's.

        Returns what became of the panel.
        """
        if self._ema:
            self._ema.put()
        if self._panel and first():
            self._panel.put_back(self._whole.policy)
        leave_model(self._folder, self._save)
        return {"panel": self._panel.close()} if self._panel and first() else {}

    def _save(self, part: Path) -> None:
        if not first():
            return
        policy: Any = self._whole.policy
        if self._config.adapter:
            save_merged(policy, self._tokenizer, self._start, self._folder / "adapter", part)
            return
        policy.save_pretrained(part)
        self._tokenizer.save_pretrained(part)


def _accelerator(config: PpoConfig) -> Accelerator:
    """bfloat16 on a GPU, float32 on a CPU. Raises InputError for sharded weights, or a minibatch that can't be cut."""
    cuda = torch.cuda.is_available()
    unused: list[Any] = [DistributedDataParallelKwargs(find_unused_parameters=True)] if config.ptx else []
    accelerator = Accelerator(cpu=not cuda, mixed_precision="bf16" if cuda else "no", kwargs_handlers=unused)
    processes, minibatch = accelerator.num_processes, min(config.minibatch, config.prompts_per_step * config.samples)
    if accelerator.distributed_type in (DistributedType.FSDP, DistributedType.DEEPSPEED):
        raise InputError("rl: PPO writes answers with whole weights, and these are sharded; launch it without sharding")
    if minibatch % processes:
        raise InputError(f"rl.minibatch {minibatch} cannot be shared by {processes} processes; take a multiple")
    return accelerator


def _optimizer(model: ActorCritic, config: PpoConfig) -> Any:
    groups = [
        {"params": [p for p in model.policy.parameters() if p.requires_grad], "lr": config.learning_rate},
        {"params": list(model.critic.parameters()), "lr": config.value_learning_rate},
    ]
    return torch.optim.AdamW(groups, betas=_BETAS, eps=_EPSILON, weight_decay=config.weight_decay)
