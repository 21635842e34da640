CREATE TABLE customers (
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL,
  city TEXT NOT NULL,
  country TEXT NOT NULL,
  joined TEXT NOT NULL -- date as YYYY-MM-DD
);

CREATE TABLE products (
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  category TEXT NOT NULL,
  price NUMERIC NOT NULL, -- in euros
  stock INTEGER NOT NULL
);

CREATE TABLE orders (
  id INTEGER PRIMARY KEY,
  customer_id INTEGER NOT NULL REFERENCES customers (id),
  placed TEXT NOT NULL, -- time as YYYY-MM-DD HH:MM:SS, in UTC
  status TEXT NOT NULL CHECK (status IN ('open', 'paid', 'sent', 'returned'))
);

CREATE TABLE order_items (
  order_id INTEGER NOT NULL REFERENCES orders (id),
  product_id INTEGER NOT NULL REFERENCES products (id),
  quantity INTEGER NOT NULL,
  price NUMERIC NOT NULL, -- of one, when it was ordered
  PRIMARY KEY (order_id, product_id)
) WITHOUT ROWID;

CREATE INDEX orders_of_customer ON orders (customer_id, placed);

CREATE VIEW order_totals AS
  SELECT o.id, o.customer_id, o.placed, o.status, sum(i.quantity) AS pieces, round(sum(i.quantity * i.price), 2) AS total
  FROM orders o JOIN order_items i ON i.order_id = o.id GROUP BY o.id;

INSERT INTO customers (name, city, country, joined) VALUES
  ('Amara Okafor', 'Lagos', 'NG', '2024-01-09'), ('Bram de Vries', 'Utrecht', 'NL', '2024-02-17'),
  ('Chen Wei', 'Chengdu', 'CN', '2024-03-02'), ('Daria Kowalska', 'Gdańsk', 'PL', '2024-03-28'),
  ('Emil Sørensen', 'Aarhus', 'DK', '2024-05-11'), ('Fatima Zahra', 'Fès', 'MA', '2024-06-30'),
  ('Giulia Conti', 'Bologna', 'IT', '2024-08-04'), ('Hiro Tanaka', 'Sapporo', 'JP', '2024-09-19'),
  ('Inés Romero', 'Valencia', 'ES', '2024-11-23'), ('Jonas Weber', 'Leipzig', 'DE', '2025-01-15'),
  ('Kavya Nair', 'Kochi', 'IN', '2025-02-08'), ('Liam Murphy', 'Cork', 'IE', '2025-04-01');

INSERT INTO products (name, category, price, stock) VALUES
  ('Atlas of rivers', 'books', 34.5, 12), ('Phrase book, 12 languages', 'books', 9.95, 140),
  ('Grammar of knots', 'books', 21, 33), ('Field notebook', 'paper', 4.2, 510),
  ('Letter paper, 50 sheets', 'paper', 7.8, 95), ('Fountain pen', 'writing', 48, 17),
  ('Pencils, box of 12', 'writing', 6.4, 220), ('Ink, dark blue', 'writing', 11.3, 64),
  ('Brass compass', 'instruments', 59.9, 8), ('Pocket lens', 'instruments', 18.75, 41),
  ('Canvas bag', 'bags', 27, 29), ('Map case', 'bags', 39.5, 0);

WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 240)
  INSERT INTO orders (id, customer_id, placed, status)
  SELECT i, 1 + (i * 5 + i / 11 + i * i / 3) % 12, datetime('2025-05-01 08:00:00', '+' || (i * 53) || ' hours', '+' || (i * 17 % 60) || ' minutes'),
    CASE WHEN i > 232 THEN 'open' WHEN i > 225 THEN 'paid' WHEN i % 19 = 0 THEN 'returned' ELSE 'sent' END
  FROM n;

WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 599)
  INSERT OR IGNORE INTO order_items (order_id, product_id, quantity, price)
  SELECT 1 + i % 240, p.id, 1 + (i * i + i / 7) % 4, p.price
  FROM n JOIN products p ON p.id = 1 + (i * 5 + i / 240) % 12;
