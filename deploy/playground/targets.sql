-- More empty databases to move to, beside "app".
CREATE DATABASE app2 TEMPLATE template0;
CREATE DATABASE app3 TEMPLATE template0;
