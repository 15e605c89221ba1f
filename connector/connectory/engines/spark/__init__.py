"""Apache Spark: a data source named `connectory`, and answers as columns of a DataFrame.

    from connectory.engines.spark import publish, register

    register(spark)
    spark.read.format("connectory").option("config", FILE).option("incoming", NAME).load()
    df.write.format("connectory").option("config", FILE).option("outgoing", NAME).mode("append").save(RESULTS)
    publish(df, NAME, config=FILE, results=RESULTS)

The folder `RESULTS`, which all machines of the cluster must see, remembers what was sent: a task that Spark runs again
sends nothing that its earlier attempts finished. It needs the extra: `pip install 'connectory[spark]'`.
"""

from __future__ import annotations

from connectory.engines.spark.needed import refuse_missing

refuse_missing()

from connectory.engines.spark.publishing import publish  # noqa: E402 - what is missing is told first, in plain words
from connectory.engines.spark.source import ConnectorySource, register  # noqa: E402 - the same

__all__ = ["ConnectorySource", "publish", "register"]
