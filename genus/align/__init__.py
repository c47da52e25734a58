"""Alignment: what people prefer, kept and learned. Reward models, PPO, DPO, GRPO, and the store of people's rankings."""
