"""Every kind of answer, equal and different, both ways round, through the whole of `judge`."""

from __future__ import annotations

from curator.maths.judge import judge

EQUAL = [
    ("$18$", "$18"), ("18", r"\$18.00"), ("18", "18 dollars"), ("1,000,000", "1000000"), ("1{,}000", "1000"),
    ("0.5", r"50\%"), (r"\frac{1}{3}", r"0.\overline{3}"), (r"-\frac{1}{2}", r"\frac{-1}{2}"),
    (r"\frac{-1}{2}", "-0.5"), ("5 cm", "5"), (r"5\text{ cm}", r"0.05\text{ m}"), ("1 hour", "60 minutes"),
    ("60", "60 mph"), (r"90^\circ", "90 degrees"), (r"90^{\circ}", r"\frac{\pi}{2}"), ("(1,2]", "(1, 2]"),
    (r"(-\infty,3)", "x<3"), ("x>3", r"(3,\infty)"), (r"[1,\infty)", r"x \ge 1"),
    (r"(-\infty,-1)\cup(1,\infty)", r"x<-1 \text{ or } x>1"), ("-1<x<1", "(-1,1)"), (r"-1 \le x \le 1", "[-1,1]"),
    (r"x \in (1,2)", "(1,2)"), (r"\{1,2\}", "1,2"), ("1,2", "2 and 1"), (r"x=1\text{ or }x=2", r"\{1,2\}"),
    ("x=1,2", "x=1, x=2"), ("(1,2,3)", "(1, 2, 3)"), (r"\left(\frac{1}{2},3\right)", "(0.5,3)"),
    ("(x,y)=(1,2)", "(1,2)"), ("x=1,y=2", "(1,2)"),
    (r"\begin{pmatrix}1\\2\end{pmatrix}", r"\begin{bmatrix}1\\2\end{bmatrix}"),
    (r"\begin{pmatrix}1&2\\3&4\end{pmatrix}", r"\begin{bmatrix}1 & 2 \\ 3 & \frac{8}{2}\end{bmatrix}"),
    ("y=2x+1", "2x+1"), ("y = 2x + 1", "2x - y + 1 = 0"), ("f(x)=x^2", "x^2"), ("x^2+y^2=4", "y^2 + x^2 - 4 = 0"),
    ("2x+3y=6", "4x+6y=12"), (r"2\pi r", r"2 \cdot \pi \cdot r"), (r"\frac{\sqrt{2}}{2}", r"\frac{1}{\sqrt{2}}"),
    (r"\sqrt{50}", r"5\sqrt{2}"), (r"\sqrt[3]{16}", r"2\sqrt[3]{2}"), ("2^{1/2}", r"\sqrt{2}"),
    (r"\frac{1}{\sqrt{2}-1}", r"\sqrt{2}+1"), (r"\sqrt{3+2\sqrt{2}}", r"1+\sqrt{2}"), (r"3\pi", r"3 \pi"),
    (r"\frac{\pi}{4}", r"\pi/4"), (r"\text{(A)}", "A"), ("A", r"\text{A}"), ("(C)", "C. 12"),
    (r"\textbf{(B)}\ 12", "B"), ("C", "c"), (r"\text{Yes}", "yes"), ("True", "true"), ("even", r"\text{even}"),
    (r"\text{Monday}", "monday"), (r"3 \text{ and } 4", "3, 4"), ("1:2", "1 : 2"), (r"3\frac{1}{2}", "3.5"),
    ("3 1/2", r"\frac{7}{2}"), ("10^6", "1,000,000"), (r"2.5\times 10^{-3}", "0.0025"), (r"\ln 2", r"\ln(2)"),
    ("e^2", "e^{2}"), (r"\log_{10} 100", "2"), (r"\frac{3}{4}", "6/8"), ("i", r"\sqrt{-1}"), ("2+3i", "3i+2"),
    (r"\cos 60^\circ", r"\frac12"), ("n(n+1)/2", r"\frac{n^2+n}{2}"), (r"\binom{5}{2}", "10"), ("5!", "120"),
    ("x^2-1", "(x-1)(x+1)"), (r"\emptyset", r"\varnothing"), (r"\mathbb{R}", r"(-\infty,\infty)"),
    (r"\frac{a+b}{2}", r"\frac{1}{2}(a+b)"), ("a^2b", r"b \cdot a^2"), ("0", "-0"), ("-1", "−1"), ("|x|", "|x|"),
    (r"\lfloor 2.5\rfloor", "2"), ("x = 3", "$x=3$."), (r"\$5.50", "5.5"), (r"8\text{ or }-8", r"\pm 8"),
    (r"\pm 3", "3,-3"), (r"10\text{ km/h}", "10"), ("1000_2", "8_{10}"), (r"(3,\infty)", r"x \in (3, \infty)"),
    ("2,3,5", "5, 3, and 2"), (r"12\%", "12 percent"), ("k=7", "7"), (r"\angle A = 30^\circ", "30"),
    (r"60^\circ", "60"), ("AB = 5", "5"), (r"y = \pm 2x", "y=2x, y=-2x"),
    (r"6\sqrt{3}\text{ square units}", r"6\sqrt{3}"), ("seven", "7"),
    (r"\frac{\pi}{6}+2k\pi", r"2\pi k + \frac{\pi}{6}"), (r"\ln\frac{1}{2}", r"-\ln 2"),
    (r"\left[0,1\right]", "[0, 1]"), (r"\{x\mid x>2\}", "x>2"), (r"\{x : x>2\}", r"(2,\infty)"),
    (r"x\neq 3", r"x \ne 3"), ("(2,3),(4,5)", "(4,5),(2,3)"), (r"\overrightarrow{AB}", r"\overrightarrow{AB}"),
    (r"\sin^{-1}(1/2)", r"\arcsin(1/2)"), (r"\frac{1}{2}\ln 3", r"\ln\sqrt{3}"), ("2^{10}", "1024"), ("3.0", "3"),
    ("1.50", "1.5"), (r"\frac{2x}{2}", "x"), (r"\frac{1}{x}+\frac{1}{y}", r"\frac{x+y}{xy}"),
    (r"4:30\text{ p.m.}", "4:30 PM"), ("(x-1)(x-2)=0", "x^2-3x+2=0"), (r"(0, 3) \cup (3, 5)", r"(0,3)\cup(3,5)"),
    (r"1 + \sqrt{2} i", r"1+i\sqrt{2}"),
    ("$25,000", "25000"), ("-$5", "-5"), ('"7"', "7"), ("**7**", "7"), ("√(29+2√2)", r"\sqrt{29+2\sqrt{2}}"),
    ("2^(5/4)", r"2^{\frac{5}{4}}"), ("997⁄3", r"\frac{997}{3}"), ("x² + y²", "x^2+y^2"),
    ("4\\*sqrt(73)", r"4\sqrt{73}"),
    ("\x0crac{1}{2}", "0.5"), ("18 eggs", "18"), ("The area is $12$.", "12"), ("Anne is 8 years old.", "8"),
    ("40 pears + 5 plums = 45 fruits", "45"), ("1.5e-05", "0.000015"), ("2**3*x", "8x"), ("$118 000", "118000"),
    ("Brasilia", "Brasília"),
    ("Approximately 42", "42"), ("f(3)=5", "5"), ("v^2_0", "v_0^2"), (r"k_{\mathrm{B}}", "k_B"), ("2(3)", "6"),
    (r"\binom{10}{3}(2)", "240"), ("31.\\overline{6}", r"\frac{95}{3}"), ("90^\\circ", r"\frac{\pi}{2}"),
]  # fmt: skip

DIFFERENT = [
    ("5 cm", "5 m"), ("60 minutes", "60 hours"), ("10%", "11%"), ("(1,2)", "[1,2]"), ("x>3", r"x\ge 3"),
    ("x=1,y=2", "(2,1)"), ("1,2", "1,3"), ("(1,2)", "(1,2,3)"), (r"\{1,2\}", r"\{1\}"), ("2:3", "3:2"),
    ("2x+3y=6", "2x+3y=7"), (r"\sqrt{50}", r"5\sqrt{3}"), (r"\frac{1}{3}", "0.33"), ("A", "B"), ("yes", "no"),
    ("3:00 AM", "3:00 PM"), ("2^{100}", "2^{100}+1"), (r"\pi", r"\frac{22}{7}"), ("e", "2.718"), ("i", "1"),
    ("x", "2x"), ("x^2", "2^x"), (r"\sin x", r"\cos x"), ("10^{50}", "10^{51}"), ("7", "77"), ("7", "7,8"),
    ("7", "-7"), (r"\pm 3", "3"), ("1.5", r"\frac{2}{3}"), (r"(1,\infty)", r"(-\infty,1)"),
    (r"\text{increasing}", r"\text{decreasing}"), ("5", "no solution"), (r"\emptyset", "0"), (r"\mathbb{R}", "0"),
    (r"\begin{pmatrix}1&2\\3&4\end{pmatrix}", r"\begin{pmatrix}1&3\\2&4\end{pmatrix}"), ("0.1", "0.01"),
    ("1000_2", "1000_3"), ("12", "21"), (r"\frac{\pi}{4}", "45"), ("x=3", "y=3"), ("AB=5", "AB=6"),
    (r"1-\frac1e", r"1+\frac1e"), ("2^{-99}", "2^{-98}"), ("x<y", "x>y"), (r"\frac{1}{2}", r"\frac{1}{2}x"),
    ("2+3i", "2-3i"), ("(2,3),(4,5)", "(2,5),(4,3)"), (r"\lfloor x\rfloor", "x"), ("n!", "(n+1)!"),
    (r"\log 2", r"\ln 2"),
    ("x(y+1)=5", "x(y+2)=5"), ("f(3)=5", "f(4)=5"), ("2(3)", "5"), (r"\binom{10}{3}(2)", "122"), ("$25,000", "25"),
    ("k_B", "k_A"), ("greater than 60", "40"), (r"x \leqslant 3", "x<3"), ("7", "it cannot be determined"),
]  # fmt: skip


def test_equal_both_ways():
    both = EQUAL + [(b, a) for a, b in EQUAL]
    assert [(p, v) for p, v in zip(both, judge(both), strict=True) if v.verdict != "correct"] == []


def test_different_both_ways():
    both = DIFFERENT + [(b, a) for a, b in DIFFERENT]
    assert [(p, v) for p, v in zip(both, judge(both), strict=True) if v.verdict != "incorrect"] == []
