-- +goose Up
CREATE TABLE leases (
  name   text NOT NULL PRIMARY KEY,
  holder text NOT NULL,
  until  integer NOT NULL
) STRICT;
