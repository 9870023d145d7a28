-- Query 12, processing-time windows: how many bids each bidder made within ten seconds by the clock of the machine.
--
-- Which window a bid falls into depends on when it is read. What does not: the sum of all counts of a bidder, and by it results are compared.

CREATE VIEW bid_as_read AS
SELECT *, PROCTIME() AS p_time
FROM bid;

CREATE TABLE nexmark_q12 (
    bidder BIGINT,
    bid_count BIGINT,
    starttime TIMESTAMP(3),
    endtime TIMESTAMP(3)
) WITH (
    'connector' = 'riverrun',
    'topic' = 'nexmark_q12',
    'format' = 'json'
);

INSERT INTO nexmark_q12
SELECT bidder, COUNT(*) AS bid_count, window_start, window_end
FROM TABLE(TUMBLE(TABLE bid_as_read, DESCRIPTOR(p_time), INTERVAL '10' SECOND))
GROUP BY bidder, window_start, window_end;
