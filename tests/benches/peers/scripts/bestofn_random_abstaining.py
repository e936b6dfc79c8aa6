from collections import Counter

from bestofn import select

print(Counter(select(["", "", "", "1"], "random") for _ in range(1000)))
