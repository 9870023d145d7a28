-- Query 8, new users: who registered and offered something within the same ten seconds?

CREATE TABLE nexmark_q8 (
    id BIGINT,
    name STRING,
    stime TIMESTAMP(3)
) WITH (
    'connector' = 'riverrun',
    'topic' = 'nexmark_q8',
    'format' = 'json'
);

INSERT INTO nexmark_q8
SELECT p.id, p.name, p.window_start
FROM (
    SELECT id, name, window_start, window_end
    FROM TABLE(TUMBLE(TABLE person, DESCRIPTOR(`dateTime`), INTERVAL '10' SECOND))
    GROUP BY id, name, window_start, window_end
) AS p
JOIN (
    SELECT seller, window_start, window_end
    FROM TABLE(TUMBLE(TABLE auction, DESCRIPTOR(`dateTime`), INTERVAL '10' SECOND))
    GROUP BY seller, window_start, window_end
) AS a
ON p.id = a.seller AND p.window_start = a.window_start AND p.window_end = a.window_end;
