"""The context that all fields of one GraphQL request share."""

from strawberry.dataloader import DataLoader
from strawberry.types import Info as StrawberryInfo

from resolvers import devices as device_resolvers
from resolvers.context import Context
from resolvers.devices import DeviceActivity, DeviceRow


class RequestContext:
    """The resolver context, the current time and the data loaders of one request.

    Data loaders collect the keys that the rows of a list need, and load them in one statement.
    """

    def __init__(self, context: Context) -> None:
        self.context = context
        self.reset_loaders()

    def reset_loaders(self) -> None:
        """Take a new current time and empty loaders. A subscription calls this before each event."""
        self.now = self.context.clock.now()
        self.devices: DataLoader[str, DeviceRow] = DataLoader(self._load_devices)
        self.sightings: DataLoader[str, DeviceActivity] = DataLoader(self._load_sightings)

    async def _load_devices(self, macs: list[str]) -> list[DeviceRow]:
        rows = await device_resolvers.get_devices(self.context, macs)
        # The device may have been deleted after its session was read.
        return [rows.get(mac) or DeviceRow(mac, None, None) for mac in macs]

    async def _load_sightings(self, macs: list[str]) -> list[DeviceActivity]:
        sightings = await device_resolvers.get_activity(self.context, macs)
        return [sightings[mac] for mac in macs]


Info = StrawberryInfo[RequestContext, None]
