"""The laboratory: what each estimator's gradient costs, measured beside what it must be.

`python -m minivae variance` asks one of three questions, each a module here whose `measure` returns a report
with `lines()` for the terminal, `records()` for a CSV file and `figure()` for a PNG:

    costs        a cost whose exact gradient and variance are known: do the estimators scatter as they must?
                 (`known_costs`: the costs; `cost_table`, `cost_chart`: the report in words and pictures)
    encoders     the ELBO of a trained VAE: what do they cost where nothing is known in closed form?
                 (`encoder_report`, `encoder_chart`)
    courses      training: what does that variance do to learning?

All three stand on

    trials       draws in chunks of bounded memory -> mean, variance, seconds
"""
