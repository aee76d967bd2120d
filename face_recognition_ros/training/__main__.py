"""Trains by a recipe: `python -m face_recognition_ros.training fit --config config/training/RECIPE.yaml`.

Everything in a recipe can be overridden on the command line (`--trainer.max_time 00:02:00:00 --data.batch 128`);
`--trainer.devices 4 --trainer.strategy ddp` trains on four GPUs, `--ckpt_path last` goes on where a run stopped. Every
run leaves its configuration, a checkpoint every four minutes and at the end, and its learning curve in
`--trainer.default_root_dir`.
"""

from datetime import timedelta

from lightning.pytorch.cli import LightningCLI

from face_recognition_ros.training.callbacks import Checkpoints, LearningCurve


def main(arguments: list[str] | None = None) -> None:
    """The command line of Lightning: fit, validate, test."""
    checkpoints = Checkpoints(
        save_last=True, save_top_k=0, train_time_interval=timedelta(minutes=4), enable_version_counter=False
    )
    defaults = {"callbacks": [LearningCurve(), checkpoints], "logger": False, "num_sanity_val_steps": 0}
    LightningCLI(
        args=arguments,
        trainer_defaults=defaults,
        save_config_kwargs={"overwrite": True},
        auto_configure_optimizers=False,  # an optimiser is an argument of the model, which knows what gets no decay
    )


if __name__ == "__main__":
    main()
