"""The steps from data to a registered model, in order: plain functions over one build folder.

`build` is `build/<use case>/<sample|full>/`. Every step reads files that an earlier one wrote and
writes its own sub-folder, so Prefect tasks (`flows/training.py`) and DVC stages (`dvc.yaml`) call the
same functions. Nothing between two steps is pickled.

step       reads                          writes
fetch      the use case                   raw/train.* test.* sample.csv fetch.json
check      raw/                           checked/check.json check.md
prepare    raw/ checked/                  prepared/train.parquet test.parquet outside.parquet prepare.json
fit        prepared/train.parquet         model/ (what is served)  fit/oof.npz fit.json
evaluate   model/ prepared/               evaluation/predictions.npz evaluation.json confusion.csv .png
calibrate  fit/                           calibration/calibration.json ...
contract   model/ prepared/ calibration/         contract/contract-tests.json .md
package    all of the above               report/metrics.json coverage.csv .png  package/
sign       package/                       signed/ (package and model.sig)
register   signed/ report/                registered/register.json

fit/oof.npz holds `probabilities` (n, k) float64, cross-fitted, `truth` (n,) int64, an index into
`labels` of fit/fit.json, and `confidences` (n,), what a threshold is on. evaluation/predictions.npz holds
`test_probabilities` (n, k), `test_truth` (n,) and `outside_probabilities` (m, k), in the same label order,
`test_confidences` (n,) and `outside_confidences` (m,).
"""
