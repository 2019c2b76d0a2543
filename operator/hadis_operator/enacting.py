"""Step 5 of the control cycle in a cluster: what was decided is written, then told to everybody."""

from dataclasses import dataclass, field

from hadis.planning.cycles import CycleOutput, CycleState
from hadis_operator import kube, naming, objects, observing, renderings, slots, surveying
from hadis_operator.applying import Applier
from hadis_operator.delivering import Courier
from hadis_operator.installation import Installation
from hadis_operator.observing import View
from hadis_operator.obstacles import Obstacles
from hadis_operator.reading import Given
from hadis_operator.reissuing import Reissue
from hadis_operator.storing import Store
from hadis_operator.surveying import Slots


@dataclass(frozen=True, slots=True)
class Written:
    """How writing went. A plan that is not on record must not be told to anybody: a successor
    would not know of its version."""

    obstacles: Obstacles = field(default_factory=Obstacles)
    is_recorded: bool = False


class Enactor:
    """Renders, writes and delivers what shall be of one cascade."""

    def __init__(
        self, store: Store, installation: Installation, applier: Applier, courier: Courier
    ) -> None:
        self._store = store
        self._installation = installation
        self._applier = applier
        self._courier = courier
        self._renderer = renderings.Renderer(installation)

    @property
    def refusal(self) -> str:
        """Who refuses what it was told last, and what to do; empty when nobody does."""
        return self._courier.trouble

    def survey(self, given: Given, view: View) -> Slots:
        """Return how the slots stand, and what to do about them now."""
        lost = {
            slot for slot, pod in view.slot_pods.items() if pod.plight is slots.Plight.UNSCHEDULABLE
        }
        rendered = self._renderer.slots(given)
        live = surveying.live_slots(self._store, given.owner)
        return surveying.survey(
            given,
            self._installation,
            rendered,
            live,
            unschedulable=lost,
            stuck=observing.stuck(view),
            edits=self._applier.edits(rendered, live),
        )

    async def write(
        self,
        given: Given,
        survey: Slots,
        state: CycleState,
        issued: CycleOutput | Reissue | None,
    ) -> Written:
        """Write the plan's ConfigMap first, then what else is to be, then the annotations."""
        owner = given.owner
        rendered = self._renderer.fleet(given, state.routing, state.assignments)
        found = await self._applier.shape(owner, rendered)
        found += await self._applier.shape_slots(given, survey)
        record = self._store.get(kube.CONFIG_MAPS, owner.namespace, naming.plan(owner))
        is_recorded = objects.is_current(record, rendered[0])
        if issued is not None and is_recorded:
            found += await self._applier.annotate(owner, issued.assignments)
        return Written(found, is_recorded)

    async def deliver(self, given: Given, view: View, issued: CycleOutput | Reissue | None) -> bool:
        """Tell everybody what he lacks; return whether that was more than figures for people."""
        told = await self._courier.deliver_cascade(
            self._renderer.document(given), given.cascade.generation, view
        )
        if issued is None:
            return told.changed
        delivery = await self._courier.deliver_plan(issued, view)
        return told.changed or delivery.changed
