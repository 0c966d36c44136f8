//! One step of the whole site: inputs to output images and events.
