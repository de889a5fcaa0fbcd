//! Many requests of all kinds, and what is left of them.

mod clients;
mod echo;
mod fresh;
mod mixed;
mod under_valgrind;
