from collections.abc import Iterator
from typing import Annotated

from fastapi import Depends, FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import StaticPool, create_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from checks import trace


class Base(DeclarativeBase):
    pass


class Order(Base):
    __tablename__ = "orders"

    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str]


engine = create_engine("sqlite://", connect_args={"check_same_thread": False}, poolclass=StaticPool)
Base.metadata.create_all(engine)


def get_db() -> Iterator[Session]:
    with Session(engine) as session:
        yield session
        session.commit()


app = FastAPI()


@app.post("/orders", status_code=201)
def place_order(title: str, db: Annotated[Session, Depends(get_db)]) -> dict[str, str]:
    db.add(Order(title=title))
    return {"ordered": title}


with trace(app, engine) as seen:
    TestClient(app).post("/orders?title=Emma")

seen
