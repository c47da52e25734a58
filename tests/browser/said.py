"""What the pretended server's models, runs and logbooks say, hostile markup among it."""

HOSTILE = "<img src=x onerror=alert(1)>"

WORDS = [
    " the", " people", " of", " government", " and", " liberty", " our", " nation", " shall", " in", ".", ",", " Congress",
    " with", " great", " peace", " commerce", "\n", " union", " duty",
    "bytes:\\xe2\\x82", "bytes:\\xac", " citizens", " year",
]  # fmt: skip

ANSWERS = {
    "maths": (
        "The rule of **products** gives $f'(x) = 2x \\sin x + x^2 \\cos x$, that is\n\n"
        "$$\\int_0^1 f'(x)\\,dx = \\sin 1$$\n\nIt costs $5 and $6, and \\(\\frac{a}{b}\\) is a fraction.\n\n"
        "| x | x² |\n|---|---|\n| 1 | 1 |\n| 2 | 4 |\n\n```python\nprint('done')\n```"
    ),
    "hostile": (
        f"{HOSTILE}<script>alert(2)</script></script><svg onload=alert(3)><iframe src=javascript:alert(4)>\n\n"
        "[a](javascript:alert(5)) ![b](https://evil.example/pixel.png) <a href='javascript:alert(6)'>c</a>\n\n"
        "$\\href{javascript:alert(7)}{d}$ $\\includegraphics{https://evil.example/e.png}$ $\\def\\a{\\a\\a}\\a$\n\n"
        "$$\\htmlStyle{background:url(https://evil.example/f)}{g} \\text{<img src=x onerror=alert(8)>}$$\n\n`last`"
    ),
    "long": "All of it is a very long answer. " * 60,
}

LOGBOOK = f"""# Logbook

## 2026-11-21T10:00Z start

- command: `genus pretrain recipe.toml`
- machine: {HOSTILE}<script>alert(9)</script>
- [report](javascript:alert(10)) ![x](https://evil.example/g.png)

- 2026-11-21T10:05Z held-out: step 40, 81,920 tokens, loss 5.9
"""
