// The part of ts-fsrs that the flashcards use.
export { createEmptyCard, fsrs, Rating, State } from "ts-fsrs";
