"""Answers to lesson 02, as people write them."""

from __future__ import annotations

from checks.answers import Answer, right, wrong

ANSWERS: tuple[Answer, ...] = (
    right(
        "02.greeting",
        "async",
        """
app = FastAPI()

@app.get("/greeting")
async def greet():
    return "Welcome to Dog-Eared"
""",
    ),
    right(
        "02.greeting",
        "a router's way",
        """
app = FastAPI()
app.add_api_route("/greeting", lambda: "Welcome " + "to Dog-Eared")
""",
    ),
    wrong(
        "02.greeting",
        "prints it",
        """
app = FastAPI()

@app.get("/greeting")
def greeting():
    print("Welcome to Dog-Eared")
""",
        "returned_nothing",
    ),
    wrong(
        "02.greeting",
        "misspelt",
        """
app = FastAPI()

@app.get("/greeting")
def greeting():
    return "Welcome to Dogeared"
""",
    ),
    wrong(
        "02.greeting",
        "another path",
        """
app = FastAPI()

@app.get("/greet")
def greeting():
    return "Welcome to Dog-Eared"
""",
    ),
    wrong(
        "02.greeting",
        "an object",
        """
app = FastAPI()

@app.get("/greeting")
def greeting():
    return {"greeting": "Welcome to Dog-Eared"}
""",
    ),
)
