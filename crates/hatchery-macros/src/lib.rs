//! The attributes with which Hatchery finds what an application is made of.
