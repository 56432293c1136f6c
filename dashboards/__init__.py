"""The two Streamlit dashboards: insights (``visualize_analysis.py``) and transparency (``data_processing.py``).

Put here: what people see of a materialized lake. Keep out: computing figures (``analytics_assets``), Dagster, Spark and
TensorFlow; a dashboard only reads the lake's files.

One module per purpose: ``shapes`` and ``data`` read files, ``selection`` narrows figures, ``scoring`` asks published
models, ``text``, ``event_names`` and ``charts`` turn them into words and pictures, ``components`` and ``frame`` put
these on a page. Each app has a folder with one module per page.
"""
