-- How many standard errors does a two-sided 95% interval reach to either side, by Student's t with this many degrees
-- of freedom? Exact for up to three degrees, within 0.04% from four on: the series of
-- shapebench/support/batch_means.py (Abramowitz and Stegun, 26.7.5).
CREATE OR REPLACE MACRO t_quantile(freedom) AS
CASE
    WHEN freedom IS NULL OR freedom < 1 THEN NULL
    WHEN freedom < 2 THEN 12.706204736::DOUBLE
    WHEN freedom < 3 THEN 4.302652730::DOUBLE
    WHEN freedom < 4 THEN 3.182446305::DOUBLE
    ELSE
        1.959963985::DOUBLE + 2.372271231 / freedom + 2.822498618 / freedom ** 2 + 2.555849770 / freedom ** 3
        + 1.589534128 / freedom ** 4
END
