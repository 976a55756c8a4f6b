"""`hack/bench`: Fairlead and what one would pick instead, in one run, on the same machine, models and bodies.

    goals < report, picture
    measures > load, subjects > figures, subject

A subject serves models, a generator loads what it is given, a measure brings the two together and yields figures, and
the report knows nothing but figures.
"""
