"""Tree of all errors that a user can correct.

Each has a problem, a remedy, and the exit code of the command line (1: failed, 2: wrong usage), and is defined next to
the code that raises it.

x ShapebenchError (exit code 1)
  · AuthError [shapebench.apis.signing]
  · BlockError [tasks.prefect.blocks]
  · CatalogueError [shapebench.sizing.catalogue.reading]
  · CompareError [shapebench.report.build_comparison]
  · ConfigError [shapebench.sizing.estimate.config]
  · CurveError [shapebench.analysis.scaling.curve]
  · DriverError [shapebench.probe.gpus]
  · EndpointBusyError [tasks.prefect.exclusive]
  x EndpointError [shapebench.probe.endpoint_errors]
    · AddressInUseError [shapebench.probe.launch]
    · BadAddressError [shapebench.probe.endpoint_errors]
    · BadAnswerError [shapebench.probe.endpoint_errors]
    · ConnectionDroppedError [shapebench.probe.endpoint_errors]
    · ContextTooSmallError [shapebench.probe.endpoint_errors]
    · EndpointTimeoutError [shapebench.probe.endpoint_errors]
    · EndpointUnreachableError [shapebench.probe.endpoint_errors]
    · HostNotFoundError [shapebench.probe.endpoint_errors]
    · LaunchCommandError [shapebench.probe.launch]
    · LaunchFailedError [shapebench.probe.launch]
    · NeverHealthyError [shapebench.probe.endpoint_errors]
    · RateLimitedError [shapebench.probe.endpoint_errors]
    · RedirectedError [shapebench.probe.endpoint_errors]
    · RefusedError [shapebench.probe.endpoint_errors]
    · RouteNotFoundError [shapebench.probe.endpoint_errors]
    · TlsError [shapebench.probe.endpoint_errors]
    · UnauthorizedError [shapebench.probe.endpoint_errors]
    · WrongModelError [shapebench.probe.endpoint_errors]
  · EndpointFailedError [tasks.measure_endpoint]
  · ImportRefusedError [shapebench.results.imports.recognise]
  · LaterVersionError [shapebench.results.migrations]
  · LocalPrefectError [cli.local_prefect.up]
  · LockFolderError [tasks.prefect.exclusive]
  · MetadataUnavailableError [shapebench.probe.oci_metadata]
  · NotMeasuredError [cli.single_level]
  · NothingMeasuredError [shapebench.runs.resume]
  · PrefectServerError [cli.local_prefect.own_server]
  · PublishError [shapebench.publish.publish]
  · RepeatedInterruptionError [tasks.resume]
  · RunInProgressError [shapebench.runs.resume]
  · RunNotFoundError [shapebench.runs.run_file]
  · SecretNotAvailableError [shapebench.support.credentials]
  · SetUpError [cli.doctor]
  · SpecError [shapebench.spec.model] (exit code 2)
  · StoreError [shapebench.publish.targets.upload_batch]
  · TokenizerFileError [shapebench.probe.token_counters]
  · WarehouseError [shapebench.results.database]
"""


class ShapebenchError(Exception):
    """An error with a remedy; `exit_code` is that of the command line."""

    exit_code = 1

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(problem, remedy)  # both in args, so that the error survives pickling
        self.problem = problem
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.problem}\n  What to do: {self.remedy}"
