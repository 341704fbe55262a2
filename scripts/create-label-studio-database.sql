-- Run once by the postgres image, beside its own database for spanloop.
CREATE DATABASE label_studio;
