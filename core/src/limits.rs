//! Every bound of the core with its reason; relations are asserted at compile time.
//!
//! One section a module. A new queue or table gets its number here, with the reasoning beside it and,
//! where it can fill up at run time, what is dropped then.
