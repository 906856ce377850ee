# SPDX-License-Identifier: LGPL-2.1-or-later
"""A configuration that changes at random, and what must be true of a daemon that runs it.

A Model is routes in order; each stands in one of the files that make up a configuration. Edits take a random.Random of their own, so
that a list of edits can be run again with some of them left out.
"""

import dataclasses

import harness

# Names agree in all but their last bytes, further than any fixed field would reach.
LONG = "a-name-that-goes-on-" * 7
FILES = ("main", "included", "first", "second")  # the order in which they are read
LIST_MAX = 300
LISTENS_MAX = 400  # of all routes


@dataclasses.dataclass(frozen=True)
class Front:
    """An address that is listened on. options: of those, `freebind` takes a new socket, the others apply to the open one."""

    kind: str
    address: str
    options: tuple = ()

    @property
    def base(self):
        return f"{self.kind}://{self.address}"

    def __str__(self):
        return self.base + ("?" + "&".join(f"{key}={value}" for key, value in self.options) if self.options else "")

    @property
    def lasting(self):
        """What the identity of its socket hangs on."""
        return self.base, tuple(option for option in self.options if option[0] in ("freebind", "groups", "format"))


@dataclasses.dataclass(frozen=True)
class Target:
    base: str
    name: str

    def __str__(self):
        return f"{self.base}?name={self.name}"


@dataclasses.dataclass
class Route:
    """kind: stream, packets, dgram, udp, feed or dial."""

    name: str
    kind: str
    fronts: list
    targets: list
    file: str = "main"
    enabled: bool = True
    title: str = ""
    limit: int = 0

    def text(self):
        value = {"dial" if self.kind == "dial" else "listen": tuple(map(str, self.fronts)), "target": tuple(map(str, self.targets))}
        if self.kind == "dial":
            value["retry"] = {"backoff": "20ms", "max_backoff": "100ms"}
        if not self.enabled:
            value["enabled"] = False
        if self.title:
            value["title"] = self.title
        if self.limit:
            value["limit"] = {"sessions": self.limit}
        return f"{self.name}: {harness.config_text(value)};\n"

    def meaning(self):
        """What is the same in a route that was not edited: all but where it stands."""
        return self.text()


class Model:
    def __init__(self, world):
        self.world = world
        self.routes = []
        self.count = 0

    def copy(self):
        other = Model(self.world)
        other.count = self.count
        other.routes = [dataclasses.replace(route, fronts=list(route.fronts), targets=list(route.targets)) for route in self.routes]
        return other

    # -- what it says --

    def ordered(self):
        """Routes as they are read."""
        return [route for name in FILES for route in self.routes if route.file == name]

    def file_text(self, name):
        return "".join(route.text() for route in self.routes if route.file == name)

    def live(self, *kinds):
        return [route for route in self.ordered() if route.enabled and (not kinds or route.kind in kinds)]

    def listens(self):
        """{(route, base address): what its socket hangs on} of all that is listened on."""
        return {(route.name, front.base): front.lasting for route in self.live() if route.kind != "dial" for front in route.fronts}

    def find(self, name):
        return next((route for route in self.routes if route.name == name), None)

    # -- how it changes --

    def name(self, random, kind):
        self.count += 1
        return (LONG if random.random() < 0.3 else "") + f"{kind}{self.count}"

    def size(self, random):
        return random.choice((1, 1, 1, 2, 3, 10, random.randint(11, LIST_MAX)))

    def new_fronts(self, random, kind, most):
        room = max(1, LISTENS_MAX - sum(len(route.fronts) for route in self.routes))
        return [self.world.new_front(random, kind) for _ in range(min(most, room))]

    def new_targets(self, random, kind, most):
        width = random.choice((0, 0, len(LONG)))
        bases = self.world.target_bases(kind)
        found = []
        for _ in range(most):
            self.count += 1
            found.append(Target(random.choice(bases), LONG[:width] + f"t{self.count}"))
        return found

    def add(self, random):
        kind = random.choice(self.world.kinds)
        fronts = 1 if kind in ("feed", "dial") else self.size(random)
        targets = 1 if kind in ("feed", "dial") else self.size(random)
        route = Route(self.name(random, kind), kind, self.new_fronts(random, kind, fronts), self.new_targets(random, kind, targets),
                      random.choice(FILES))
        if kind == "stream" and self.world.has_absent and random.random() < 0.2:
            route.fronts.insert(random.randrange(len(route.fronts) + 1), self.world.absent_front(random))
        self.routes.insert(random.randrange(len(self.routes) + 1), route)

    def remove(self, random):
        if len(self.routes) > 1:
            self.routes.remove(random.choice(self.routes))

    def rename(self, random):
        route = random.choice(self.routes)
        route.name = self.name(random, route.kind)

    def reorder(self, random):
        random.shuffle(self.routes)

    def relocate(self, random):
        """Into another file."""
        random.choice(self.routes).file = random.choice(FILES)

    def reorder_fronts(self, random):
        random.shuffle(random.choice(self.routes).fronts)

    def reorder_targets(self, random):
        random.shuffle(random.choice(self.routes).targets)

    def lists(self):
        return [route for route in self.routes if route.kind not in ("feed", "dial")]

    def edit_fronts(self, random):
        for route in random.sample(self.lists(), min(1, len(self.lists()))):
            if len(route.fronts) > 1 and random.random() < 0.5:
                for _ in range(random.randint(1, len(route.fronts) - 1)):
                    route.fronts.pop(random.randrange(len(route.fronts)))
            else:
                for front in self.new_fronts(random, route.kind, self.size(random)):
                    route.fronts.insert(random.randrange(len(route.fronts) + 1), front)
            del route.fronts[LIST_MAX:]

    def edit_targets(self, random):
        for route in random.sample(self.lists(), min(1, len(self.lists()))):
            if len(route.targets) > 1 and random.random() < 0.5:
                for _ in range(random.randint(1, len(route.targets) - 1)):
                    route.targets.pop(random.randrange(len(route.targets)))
            else:
                for target in self.new_targets(random, route.kind, self.size(random)):
                    route.targets.insert(random.randrange(len(route.targets) + 1), target)
            del route.targets[LIST_MAX:]

    def change_option(self, random):
        route = random.choice(self.routes)
        place = random.randrange(len(route.fronts))
        route.fronts[place] = self.world.change_options(random, route.fronts[place])

    def change_route(self, random):
        route = random.choice(self.routes)
        what = random.choice(("title", "limit"))
        if what == "title":
            route.title = random.choice(("", "one title", "another title"))
        else:
            route.limit = random.choice((0, 1000, 2000))

    def switch(self, random):
        route = random.choice(self.routes)
        route.enabled = not route.enabled

    def move_front(self, random):
        """An address from a route to another of its kind."""
        pairs = [(one, other) for one in self.lists() for other in self.lists()
                 if one is not other and one.kind == other.kind and len(one.fronts) > 1 and len(other.fronts) < LIST_MAX]
        if pairs:
            one, other = random.choice(pairs)
            front = one.fronts.pop(random.randrange(len(one.fronts)))
            other.fronts.insert(random.randrange(len(other.fronts) + 1), front)

    EDITS = (add, add, remove, rename, reorder, relocate, reorder_fronts, reorder_targets, edit_fronts, edit_targets, change_option,
             change_option, change_route, switch, move_front)

    def edit(self, random, most=3):
        """A copy with some edits: the copy, and their names."""
        other, said = self.copy(), []
        for _ in range(random.randint(1, most)):
            edit = random.choice(self.EDITS)
            edit(other, random)
            said.append(edit.__name__)
        self.count = other.count
        return other, said
